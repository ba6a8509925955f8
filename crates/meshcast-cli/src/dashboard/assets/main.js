// Puts the parts of the page together.

import { KINDS, clock, count, h, keyed, s, say, set } from './dom.js';
import { Live, change } from './live.js';
import { WorldMap } from './map.js';
import { Panel } from './panel.js';
import { Tables } from './tables.js';
import { Tail } from './tail.js';

const of = (id) => document.getElementById(id);
/** How much of the past the lane shows. */
const LANE_MS = 180_000;
/** Entries of the timeline that are kept. */
const ENTRIES = 200;

let state = null;
let selected = null;
let entries = [];
/** Whether a stream has begun that has told no entries yet. */
let begins = true;
const rates = [];
/** When anything was broken: from when to when, which is null for now. */
const broken = [];

const map = new WorldMap(of('map'), select);
const tables = new Tables(select);
const panel = new Panel({
  close: () => select(null),
  select,
  follow: (channel) => {
    show('messages');
    tail.choose(channel);
  },
  found: (peers) => {
    selected = { ...selected, peers };
    map.update(state, selected);
  },
});
const tail = new Tail(of('messages'), {
  follow: (channel) => live.follow({ channel }),
  arrived: (from, to, took, way) => map.fly(from, to, took, way),
});
const live = new Live((name, data) => {
  if (name === 'state') update(data);
  if (name === 'timeline') remember(data);
  if (name === 'tail') tail.take(data);
  if (name === 'connection') connected(data);
});

function update(now) {
  state = now;
  map.update(state, selected);
  tables.update(state, selected);
  panel.update(state);
  tail.update(state);
  const { totals } = state;
  rates.push([Date.now(), totals.delivered_per_s]);
  while (rates[0][0] < Date.now() - LANE_MS) rates.shift();
  noteBroken();
  const shown = [
    ['Members', `${totals.up}/${totals.members}`, totals.up < totals.members],
    ['Links', count(totals.links)],
    ['Channels', count(totals.channels)],
    ['Posted/s', count(totals.posted_per_s)],
    ['Heard/s', count(totals.delivered_per_s)],
    ['Repaired', count(totals.repaired)],
    ['Missed', count(totals.missed), totals.missed > 0],
    ['Dropped', count(totals.dropped), totals.dropped > 0],
    ...(totals.left_out > 0 ? [['Not shown', count(totals.left_out)]] : []),
  ];
  keyed(of('totals'), shown, ([name]) => name, ([name]) => h('div', {}, h('dt', {}, name), h('dd')),
    (item, [, value, wrong]) => {
      say(item.lastElementChild, wrong ? `${value} !` : value);
      set(item, 'class', wrong ? 'wrong' : null);
    });
  of('heal').hidden = state.cuts.length === 0;
  say(of('quiet'), state.breakable ? 'Nothing has happened yet. Open a link on the map, and cut it.' : 'Nothing has happened since this page is open.');
  const { around } = state;
  of('around').hidden = around.length === 0;
  say(of('around'), around.length === 0 ? '' : `Messages go around the cut through ${around.length > 4 ? `${around.length} members` : around.join(', ')}.`);
  drawLane();
}

function noteBroken() {
  const now = Date.now();
  const is = state.cuts.length > 0 || Object.values(state.members).some((member) => member.state === 'paused' || member.state === 'down');
  const last = broken.at(-1);
  if (is && last?.[1] !== null) broken.push([now, null]);
  if (!is && last?.[1] === null) last[1] = now;
  while (broken.length > 0 && broken[0][1] !== null && broken[0][1] < now - LANE_MS) broken.shift();
}

/** What was broken when this page was opened has been so since the last fault that the timeline tells of. */
function lookBack() {
  const [first] = broken;
  if (broken.length !== 1 || first[1] !== null) return;
  const fault = entries.findLast(({ kind }) => kind === 'fault');
  if (fault !== undefined && fault.at_ms < first[0]) first[0] = fault.at_ms;
}

const CONNECTION = {
  live: '● live',
  lost: '○ not connected: trying again',
  refused: '○ this page takes the address that meshcast printed, with the key at its end',
};
function connected(how) {
  say(of('connection'), CONNECTION[how]);
  set(of('connection'), 'class', `connection ${how}`);
  if (how !== 'live') return;
  begins = true;
  tail.restart();
}

function select(what) {
  const came = document.activeElement;
  selected = what;
  panel.show(what);
  if (state !== null) {
    map.update(state, selected);
    tables.update(state, selected);
  }
  if (what === null && came?.closest?.('#panel')) of('work').focus({ preventScroll: true });
}

/** What an entry is known by: its number alone is that of another one at another server. */
const nameOf = ({ id, at_ms: at }) => `${id} ${at}`;

function remember(news) {
  // A stream tells all there is at first. That may be of another server, which counts from 1 again.
  if (begins) entries = [];
  entries = [...entries, ...news].slice(-ENTRIES);
  if (begins) lookBack();
  begins = false;
  keyed(of('timeline'), [...entries].reverse(), nameOf,
    ({ kind, text, at_ms: at }) => h('li', { class: `kind-${kind}` }, h('time', {}, clock(at)), h('span', { class: 'sign', 'aria-hidden': 'true' }, KINDS[kind]), h('span', {}, text)),
    () => {});
  of('quiet').hidden = entries.length > 0;
  drawLane();
}

const lane = {
  svg: s('svg', { role: 'img', 'aria-label': 'The last three minutes: messages heard a second, and what happened' }),
  spans: s('g', { class: 'spans' }),
  area: s('path', { class: 'area' }),
  marks: s('g', { class: 'marks' }),
  words: s('g', { class: 'words' }),
};
lane.svg.append(lane.spans, lane.area, lane.marks, lane.words);
of('lane').append(lane.svg);

function drawLane() {
  const width = of('lane').clientWidth;
  if (width === 0) return;
  const height = 64;
  const now = Date.now();
  set(lane.svg, 'viewBox', `0 0 ${width} ${height}`);
  set(lane.svg, 'height', height);
  const x = (at) => Math.round((width * (at - now + LANE_MS)) / LANE_MS);
  const peak = Math.max(0, ...rates.map(([, rate]) => rate));
  const most = Math.max(1, peak);
  const y = (rate) => Math.round(height - 16 - (rate / most) * (height - 34));
  const points = rates.map(([at, rate]) => `${x(at)} ${y(rate)}`);
  set(lane.area, 'd', points.length < 2 ? '' : `M${x(rates[0][0])} ${height - 16}L${points.join('L')}L${x(rates.at(-1)[0])} ${height - 16}Z`);
  const spans = broken.map(([begin, end]) => [begin, end ?? now]);
  keyed(lane.spans, spans, ([begin]) => begin, () => s('rect', { y: 0, height: height - 16 }), (rect, [begin, end]) => {
    set(rect, 'x', Math.max(0, x(begin)));
    set(rect, 'width', Math.max(2, x(end) - Math.max(0, x(begin))));
  });
  const marks = entries.filter(({ kind, at_ms: at }) => kind !== 'post' && at > now - LANE_MS);
  keyed(lane.marks, marks, nameOf,
    ({ kind, text }) => s('g', { class: `kind-${kind}` }, s('line', { y1: 14, y2: height - 16 }), s('text', { y: 11 }, KINDS[kind]), s('title', {}, text)),
    (group, { at_ms: at }) => set(group, 'transform', `translate(${x(at)} 0)`));
  const words = [['3 min ago', 0, 'start'], [peak > 0 ? `heard/s, up to ${count(peak)}` : 'nothing was heard', width / 2, 'middle'], ['now', width, 'end']];
  keyed(lane.words, words, ([, , anchor]) => anchor, ([, , anchor]) => s('text', { y: height - 3, 'text-anchor': anchor }),
    (text, [word, at]) => {
      say(text, word);
      set(text, 'x', at);
    });
}
new ResizeObserver(drawLane).observe(of('lane'));

const TABS = ['messages', 'members', 'links', 'channels'];
function show(tab, focus = false) {
  for (const name of TABS) {
    of(name).hidden = name !== tab;
    set(of(`tab-${name}`), 'aria-selected', String(name === tab));
    set(of(`tab-${name}`), 'tabindex', name === tab ? null : -1);
  }
  if (focus) of(`tab-${tab}`).focus();
}
for (const name of TABS) of(`tab-${name}`).addEventListener('click', () => show(name));
document.querySelector('[role=tablist]').addEventListener('keydown', ({ key }) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
  if (!step) return;
  const at = TABS.findIndex((name) => !of(name).hidden);
  show(TABS[(at + step + TABS.length) % TABS.length], true);
});

async function heal() {
  // Where nothing can be broken there is nothing to heal.
  if (!state?.breakable) return;
  let wrong = '';
  try {
    await change('/api/faults', { fault: 'heal' });
  } catch (error) {
    wrong = error.message;
  }
  say(of('wrong'), wrong);
}

function theme(next) {
  document.documentElement.dataset.theme = next;
  try {
    localStorage.setItem('theme', next);
  } catch {
    // Not remembered, then.
  }
}
const isDark = () => document.documentElement.dataset.theme === 'dark'
  || (document.documentElement.dataset.theme !== 'light' && matchMedia('(prefers-color-scheme: dark)').matches);
try {
  const last = localStorage.getItem('theme');
  if (last) theme(last);
} catch {
  // As the system has it.
}

of('heal').addEventListener('click', heal);
of('theme').addEventListener('click', () => theme(isDark() ? 'light' : 'dark'));
of('help').addEventListener('click', () => of('keys').showModal());
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && selected !== null && !of('keys').open) select(null);
  if (event.target.closest?.('input, select, textarea, dialog') || event.ctrlKey || event.metaKey || event.altKey) return;
  const act = {
    '/': () => {
      show('messages');
      tail.focus();
    },
    h: heal,
    t: () => of('theme').click(),
    '?': () => of('help').click(),
  }[event.key] ?? (TABS[event.key - 1] && (() => show(TABS[event.key - 1], true)));
  if (!act) return;
  event.preventDefault();
  act();
});

// A channel is followed once it is known that there is one: a page opens none by itself.
live.follow({});
