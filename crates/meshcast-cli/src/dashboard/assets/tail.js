// What a channel hears, and a box to post to it.

import { change } from './live.js';
import { WAYS, clock, h, keyed, say, set, span } from './dom.js';
import { channelName } from './tables.js';

/** As many rows as anybody scrolls through. */
const ROWS = 200;
/** Of more places than this each takes less room, as it does where there is little. */
const FEW = 6;
/** For so long at most what came is not drawn, in ms: each time costs the same, however much it is. */
const TOGETHER = 250;
const narrow = matchMedia('(max-width: 900px)');

export class Tail {
  #rows = new Map();
  #places = [];
  #skipped = 0;
  #list = h('ol', { class: 'tail', 'aria-label': 'Messages, the latest first' });
  #empty = h('p', { class: 'empty' }, 'Nothing was posted since this page is open. Write a message: when it arrives in each region, and which way, is shown here.');
  #note = h('p', { class: 'muted', role: 'status' });
  #open = h('button', { type: 'button', 'data-do': 'open', hidden: true, onclick: () => this.#openIt() });
  /** What nodes have open, by what the page calls it. */
  #channels = {};
  #node = h('select', { 'aria-label': 'Post from', name: 'node' });
  #channel = h('input', { 'aria-label': 'Channel', name: 'channel', list: 'channel-names', value: 'earth', spellcheck: 'false', autocomplete: 'off' });
  #names = h('datalist', { id: 'channel-names' });
  #text = h('input', { 'aria-label': 'Message', name: 'text', placeholder: 'Write a message …', autocomplete: 'off', enterkeyhint: 'send' });
  #json = h('input', { type: 'checkbox', name: 'json' });
  #button = h('button', { class: 'strong' }, 'Post');
  #follow;
  #arrived;
  #followed = null;
  /** Who has what was posted before this is not known. */
  #since = Date.now();
  #chosen = false;

  constructor(parent, { follow, arrived }) {
    this.#follow = follow;
    this.#arrived = arrived;
    this.#channel.addEventListener('change', () => this.choose(this.#channel.value));
    this.#node.addEventListener('change', () => {
      this.#chosen = true;
    });
    parent.append(
      h('form', { class: 'post', onsubmit: (event) => this.#post(event) },
        h('div', { class: 'where' },
          h('label', {}, 'from ', this.#node), h('label', {}, 'on ', this.#channel), this.#names,
          h('label', { class: 'check' }, this.#json, ' as JSON')),
        h('div', { class: 'what' }, this.#text, this.#button)),
      this.#note, this.#open, this.#empty, this.#list);
  }

  focus() {
    this.#text.focus();
  }

  get channel() {
    return this.#channel.value;
  }

  /** Follows a channel from now on. */
  choose(channel) {
    this.#channel.value = channel;
    if (this.#followed === channel) return;
    this.#followed = channel;
    this.restart();
    this.#follow(channel);
  }

  /** The stream begins anew: so do the numbers of rows. */
  restart() {
    this.#rows.clear();
    this.#places = [];
    this.#skipped = 0;
    this.#since = Date.now();
    this.#draw();
  }

  update(state) {
    const able = Object.entries(state.members).filter(([, member]) => member.state === 'up' || member.state === 'paused');
    keyed(this.#node, able, ([name]) => name, ([name]) => h('option', { value: name }, name), () => {});
    if (!this.#chosen && able.length > 0 && this.#node.selectedIndex < 0) this.#node.selectedIndex = 0;
    // One with another key than its name is of a mesh that is not followed.
    const channels = Object.entries(state.channels).filter(([, it]) => it.name === undefined).map(([name]) => name);
    if (this.#followed === null && channels.length > 0) this.choose(channels.includes('earth') ? 'earth' : channels[0]);
    keyed(this.#names, channels, (name) => name, (name) => h('option', { value: name }), () => {});
    this.#channels = state.channels;
    this.#drawNote();
  }

  take({ rows, skipped, places }) {
    // One that is the same stays the same, so that rows are not drawn anew.
    if (JSON.stringify(places) !== JSON.stringify(this.#places)) this.#places = places;
    for (const row of rows) {
      const before = this.#rows.get(row.id)?.arrivals ?? {};
      for (const [name, { region, took_ms, way }] of Object.entries(row.arrivals)) {
        if (!(name in before)) this.#arrived(row.region, region, took_ms, row.sender === name ? 'local' : way);
      }
      this.#rows.set(row.id, row);
    }
    for (const id of this.#rows.keys()) {
      if (this.#rows.size <= ROWS) break;
      this.#rows.delete(id);
    }
    this.#skipped = skipped;
    this.#drawSoon();
  }

  /** To follow a channel opens it nowhere: that is for people to choose. */
  async #openIt() {
    this.#open.disabled = true;
    try {
      await change('/api/channels', { node: this.#node.value, channel: this.#followed });
      this.#wrong = '';
    } catch (error) {
      this.#wrong = error.message;
    }
    this.#open.disabled = false;
    this.#drawNote();
  }

  async #post(event) {
    event.preventDefault();
    const text = this.#text.value;
    if (text === '') return;
    this.#button.disabled = true;
    try {
      const json = this.#json.checked ? text : JSON.stringify(text);
      await change('/api/messages', { node: this.#node.value, channel: this.#channel.value, json });
      this.#text.value = '';
      this.#wrong = '';
    } catch (error) {
      this.#wrong = error.message;
    }
    this.#button.disabled = false;
    this.#text.focus();
    this.#draw();
  }

  #wrong = '';
  #drawn = 0;
  #due = 0;

  /** A message that comes alone is shown at once, and of many those of a quarter of a second together. */
  #drawSoon() {
    if (this.#due !== 0) return;
    this.#due = setTimeout(() => {
      this.#due = 0;
      this.#drawn = performance.now();
      this.#draw();
    }, Math.max(0, this.#drawn + TOGETHER - performance.now()));
  }

  #drawNote() {
    if (this.#followed === null) return;
    const names = this.#places.map(([name]) => name);
    const at = names.length === 0 ? '' : names.length <= FEW ? ` at ${names.join(', ')}` : ` at ${names.length} members, one of each region`;
    const more = this.#skipped > 0 ? ` ${this.#skipped.toLocaleString('en')} more are not shown: this is a sample.` : '';
    const isOpen = names.length > 0 || this.#followed in this.#channels;
    const name = channelName(this.#followed);
    say(this.#note, this.#wrong || (isOpen ? `Following ${name}${at}.${more}` : `No member here has ${name} open: what is posted on it is not seen here.`));
    set(this.#note, 'class', this.#wrong ? 'wrong' : 'muted');
    this.#open.hidden = isOpen;
    say(this.#open, `Open it at ${this.#node.value}`);
  }

  #draw() {
    if (this.#followed === null) return;
    this.#drawNote();
    const rows = [...this.#rows.values()].reverse();
    this.#empty.hidden = rows.length > 0;
    keyed(this.#list, rows, ({ id }) => id,
      (row) => h('li', { class: row.gap ? 'gap' : '' },
        h('div', { class: 'line' }, h('time'), h('b'), h('span', { class: 'text' })),
        h('ul', { class: 'arrivals' })),
      (item, row) => {
        // Most are as they were.
        if (item.row === row && item.places === this.#places) return;
        [item.row, item.places] = [row, this.#places];
        const [time, from, text] = item.firstElementChild.children;
        say(time, row.posted_ms ? clock(row.posted_ms) : '');
        say(from, `${row.name} #${row.seq}`);
        say(text, row.gap ? `! ${row.gap[1]} will not get ${numbers(row.seq, row.gap[0])}: ${row.text}` : row.text);
        if (!row.gap) this.#drawArrivals(item.lastElementChild, row);
      });
  }

  #drawArrivals(list, row) {
    const isOld = row.posted_ms < this.#since;
    const waiting = isOld ? [] : this.#places.filter(([name]) => !(name in row.arrivals));
    const arrived = Object.entries(row.arrivals).sort(([, a], [, b]) => a.took_ms - b.took_ms);
    const all = [...arrived, ...waiting.map(([name, region]) => [name, { region, waiting: true }])];
    const short = all.length > FEW || narrow.matches;
    keyed(list, all, ([name]) => name, () => h('li'), (item, [name, arrival]) => {
      const [sign, word] = WAYS[arrival.way] ?? ['…', ''];
      const way = arrival.waiting ? '' : `${sign} ${short ? '' : `${word} `}${span(arrival.took_ms)}`;
      set(item, 'class', arrival.waiting ? 'waiting' : arrival.way ?? '');
      set(item, 'data-at', name);
      set(item, 'title', `${name}: ${arrival.waiting ? 'not yet' : `${word} ${span(arrival.took_ms)}`}`);
      say(item, arrival.waiting ? `${short ? arrival.region : name} not yet` : `${short ? arrival.region : name} ${way}`);
    });
  }
}

const numbers = (first, last) => (first === last ? `#${first}` : `#${first}–${last}`);
