// The page: hears a room, shows it, and says what is written. Text is only ever set as text.

const of = (id) => document.getElementById(id);

/** What the browser remembers, if it does. */
const memory = {
  get(key) {
    try {
      return JSON.parse(localStorage.getItem(`chat ${key}`));
    } catch {
      return null;
    }
  },
  set(key, value) {
    try {
      localStorage.setItem(`chat ${key}`, JSON.stringify(value));
    } catch {
      // Then it is asked again.
    }
  },
};

/** An element with attributes and children; what is text stays text. */
function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/**
 * The stream of a room. What it had last it says when it comes back, to the same instance or to
 * another, and goes on there.
 */
class Stream {
  #room;
  #name;
  #told;
  #source = null;
  #last = '';
  #timer = 0;

  constructor(room, name, told) {
    [this.#room, this.#name, this.#told] = [room, name, told];
    this.open();
  }

  open() {
    this.close();
    const query = new URLSearchParams({ name: this.#name });
    if (this.#last !== '') query.set('after', this.#last);
    const source = new EventSource(`rooms/${encodeURIComponent(this.#room)}?${query}`);
    this.#source = source;
    for (const kind of ['at', 'who', 'history', 'lines', 'gap', 'alive']) {
      source.addEventListener(kind, ({ data, lastEventId }) => {
        if (lastEventId !== '') this.#last = lastEventId;
        this.#watch();
        this.#told(kind, JSON.parse(data));
      });
    }
    source.onerror = () => {
      this.#told('lost');
      // The answer was no stream. Else the browser tries again by itself, and says what it had last
      // in a header.
      if (source.readyState === EventSource.CLOSED) this.#again(2000);
    };
    this.#watch();
  }

  /** For good: what was to come later does not. */
  close() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }

  /** An instance that stands still, or is behind a dead link, says nothing: try elsewhere. */
  #watch() {
    this.#again(QUIET);
  }

  /** Begins anew after this time, unless it hears something or is closed. */
  #again(after) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#told('lost');
      this.open();
    }, after);
  }
}

/** What was said, by when it was said. */
class Lines {
  #list = of('lines');
  #scroll = of('scroll');
  #newer = of('newer');
  #known = new Set(); // ids of those that are listed
  #unseen = 0;
  #note = null;

  constructor() {
    this.#newer.onclick = () => this.#down();
    this.#scroll.onscroll = () => this.#isDown() && this.#seen();
    document.addEventListener('visibilitychange', () => this.#isDown() && this.#seen());
    // The keyboard of a phone takes half of the page.
    new ResizeObserver(() => this.#wasDown && this.#down()).observe(this.#scroll);
  }

  #wasDown = true;

  clear(why) {
    this.#list.replaceChildren();
    this.#known.clear();
    this.#note = null;
    this.#seen();
    of('empty').textContent = why;
  }

  /** All that was said so far. */
  begin(lines) {
    this.clear(lines.length === 0 ? 'Nobody has said anything here yet.' : '');
    lines.forEach((line) => this.#place(this.#row(line)));
    this.#down();
  }

  add(lines) {
    const isDown = this.#isDown();
    for (const line of lines) {
      if (this.#known.has(line.id)) continue;
      const row = this.#row(line);
      if (line.past) {
        if (this.#note !== null) this.#note.count += 1;
      } else if (line.took > LATE) row.querySelector('.bubble').append(h('span', { class: 'late' }, `↺ came ${span(line.took)} late`));
      row.classList.add('fresh');
      this.#place(row);
      this.#unseen += 1;
    }
    of('empty').textContent = '';
    this.#after(isDown);
  }

  gap(text) {
    const isDown = this.#isDown();
    this.#list.append(note(`! ${text}`, 'gap'));
    this.#after(isDown);
  }

  /** From here on the page did not hear what was said. */
  lost() {
    if ((this.#note !== null && !this.#note.told) || this.#list.childElementCount === 0) return;
    const isDown = this.#isDown();
    const row = note('× no connection', 'away');
    // Below what it has, whatever the clock of the browser says.
    row.at = [...this.#list.children].findLast((other) => other.at !== undefined)?.at;
    this.#note = { row, since: Date.now(), count: 0, told: false };
    this.#list.append(row);
    this.#after(isDown);
  }

  /** It hears again; what came meanwhile is on its way. */
  back(node) {
    const away = this.#note;
    if (away === null || away.told) return;
    away.told = true;
    const tell = () => {
      const count = away.count === 0 ? 'nothing was said meanwhile' : `${away.count} ${away.count === 1 ? 'line' : 'lines'} from meanwhile`;
      away.row.firstElementChild.textContent = `↺ back at ${node} after ${span(away.back - away.since)}: ${count}`;
    };
    away.back = Date.now();
    tell();
    // What was missed comes within this time, or it is late.
    const timer = setInterval(tell, 200);
    setTimeout(() => {
      clearInterval(timer);
      tell();
      if (this.#note === away) this.#note = null;
    }, MEANWHILE);
  }

  #row(line) {
    this.#known.add(line.id);
    const at = new Date(line.at);
    const row = h('li', { class: 'line', 'data-id': line.id },
      face(line.from),
      h('div', { class: 'head' }, h('b', {}, line.from),
        h('span', { class: 'node', title: `said at ${line.node}, in ${line.region}` }, line.node === line.region ? line.node : `${line.node} · ${line.region}`),
        h('time', { datetime: at.toISOString() }, at.toTimeString().slice(0, 5))),
      h('div', { class: 'bubble' }, line.text));
    row.classList.toggle('mine', line.from === name);
    [row.at, row.from, row.sender] = [line.at, `${line.node} ${line.from}`, line.id.split('/')[0]];
    return row;
  }

  /** By time, but those of one sender as they were sent. */
  #place(row) {
    let before = this.#list.lastElementChild;
    while (before !== null && before.at > row.at && before.sender !== row.sender) before = before.previousElementSibling;
    if (before === null) this.#list.prepend(row);
    else before.after(row);
    while (this.#list.childElementCount > ROWS) {
      this.#known.delete(this.#list.firstElementChild.dataset.id);
      this.#list.firstElementChild.remove();
    }
    [row, row.nextElementSibling].forEach(group);
  }

  #isDown() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroll;
    return scrollHeight - scrollTop - clientHeight < 60;
  }

  #down() {
    this.#scroll.scrollTop = this.#scroll.scrollHeight;
    this.#wasDown = true;
    this.#seen();
  }

  #after(wasDown) {
    this.#wasDown = wasDown;
    if (wasDown) this.#down();
    this.#tell();
  }

  #seen() {
    this.#wasDown = this.#isDown();
    if (!document.hidden) this.#unseen = 0;
    this.#tell();
  }

  #tell() {
    this.#newer.hidden = this.#unseen === 0 || this.#isDown();
    this.#newer.textContent = `↓ ${this.#unseen} new`;
    document.title = `${document.hidden && this.#unseen > 0 ? `(${this.#unseen}) ` : ''}#${room}`;
  }
}

/** Lines of one person in a row have one head. */
function group(row) {
  const before = row?.previousElementSibling;
  row?.classList.toggle('more', before?.from !== undefined && before.from === row.from && row.at - before.at < 120_000);
}

const note = (text, kind) => h('li', { class: `note ${kind}` }, h('span', {}, text));

function face(person) {
  const hue = [...person].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 360, 7);
  const element = h('span', { class: 'face', 'aria-hidden': 'true' }, [...person.trim()][0].toUpperCase());
  element.style.setProperty('--hue', hue);
  return element;
}

function span(millis) {
  const seconds = Math.max(0, millis) / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  return seconds < 120 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
}

/** Who is here, by instance. */
function showMembers(members) {
  const count = members.reduce((sum, { names, more }) => sum + new Set(names).size + more, 0);
  of('count').textContent = `${count} ${count === 1 ? 'person' : 'people'}`;
  of('members').replaceChildren(...members.filter(({ names }) => names.length > 0).map(({ node, region, silent, names, more }) =>
    h('li', { class: silent ? 'silent' : '', 'data-node': node },
      h('div', { class: 'at' }, `${node} · ${region}${silent ? ' · silent' : ''}${node === at?.node ? ' · where you are' : ''}`),
      h('ul', { class: 'names' },
        ...[...new Set(names)].map((person) => h('li', {}, face(person), h('span', {}, person === name && node === at?.node ? `${person} (you)` : person))),
        ...(more > 0 ? [h('li', {}, h('span', {}, `and ${more} more`))] : [])))));
}

function showRooms() {
  const others = (memory.get('rooms') ?? []).filter((other) => other !== room);
  const rooms = [room, ...others].slice(0, 8);
  memory.set('rooms', rooms);
  of('rooms').replaceChildren(...rooms.toSorted((a, b) => a.localeCompare(b)).map((other) => {
    const link = h('a', { href: `#${encodeURIComponent(other)}` }, `# ${other}`);
    if (other === room) link.setAttribute('aria-current', 'page');
    return h('li', {}, link);
  }));
}

function connected(state, text) {
  of('connection').className = `connection ${state}`;
  of('connection').textContent = text;
}

function hear(kind, data) {
  if (kind === 'at') {
    at = data;
    connected('live', `live at ${at.node}`);
    lines.back(at.node);
  }
  if (kind === 'who') showMembers(data);
  if (kind === 'history') lines.begin(data);
  if (kind === 'lines') lines.add(data);
  if (kind === 'gap') lines.gap(data);
  if (kind === 'lost') {
    connected('lost', 'no connection, trying again');
    lines.lost();
  }
}

/** The room of the address, shown as the heading. */
function chooseRoom() {
  try {
    // No half of a character that is two for JavaScript.
    room = decodeURIComponent(location.hash.slice(1)).trim().slice(0, 40).replace(/[\uD800-\uDBFF]$/, '') || 'lobby';
  } catch {
    room = 'lobby';
  }
  of('room').textContent = room;
}

function enter() {
  chooseRoom();
  of('rename').textContent = name;
  showRooms();
  showMembers([]);
  lines.clear('Fetching what was said …');
  connected('', 'connecting');
  stream?.close();
  stream = new Stream(room, name, hear);
}

function askName() {
  const dialog = of('ask');
  dialog.querySelector('input').value = name ?? '';
  dialog.showModal();
}

async function say(text) {
  const response = await fetch(`rooms/${encodeURIComponent(room)}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ from: name, text }),
    signal: AbortSignal.timeout(QUIET),
  });
  if (!response.ok) throw new Error((await response.text()) || `the server answers ${response.status}`);
}

/** The server says something every 5 s. */
const QUIET = 12_000;
/** What is under way to an instance for longer was held up somewhere. Clocks differ a bit. */
const LATE = 5_000;
/** How long after it came back a page counts what it missed. */
const MEANWHILE = 6_000;
/** As many rows as anybody scrolls through. */
const ROWS = 1_000;

let [room, at, stream] = ['', null, null];
let name = memory.get('name');
const lines = new Lines();

of('say').onsubmit = async (event) => {
  event.preventDefault();
  const box = event.target.elements.text;
  const text = box.value.trim();
  if (text === '') return;
  of('wrong').textContent = '';
  box.value = '';
  try {
    await say(text);
  } catch (error) {
    // It can be sent again, if nothing else was begun.
    if (box.value === '') box.value = text;
    of('wrong').textContent = `! not sent: ${error.message}`;
  }
  box.focus();
};
of('say').elements.text.onkeydown = (event) => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  of('say').requestSubmit();
};
of('enter').onsubmit = (event) => {
  event.preventDefault();
  location.hash = encodeURIComponent(event.target.elements.room.value.trim().replace(/[\uD800-\uDBFF]$/, ''));
  event.target.reset();
};
of('rename').onclick = askName;
of('ask').oncancel = (event) => name === null && event.preventDefault();
of('ask').querySelector('form').onsubmit = (event) => {
  const given = event.target.elements.name.value.trim();
  if (given === '') return event.preventDefault();
  name = given;
  memory.set('name', name);
  return enter();
};
of('theme').onclick = () => {
  const dark = getComputedStyle(document.documentElement).colorScheme === 'dark'
    || (document.documentElement.dataset.theme === undefined && matchMedia('(prefers-color-scheme: dark)').matches);
  document.documentElement.dataset.theme = dark ? 'light' : 'dark';
  memory.set('theme', document.documentElement.dataset.theme);
};
const theme = memory.get('theme');
if (theme !== null) document.documentElement.dataset.theme = theme;
if (matchMedia('(max-width: 760px)').matches) of('who').open = false;
addEventListener('hashchange', () => name !== null && enter());
addEventListener('online', () => stream?.open());
if (name === null) {
  chooseRoom();
  askName();
} else enter();
