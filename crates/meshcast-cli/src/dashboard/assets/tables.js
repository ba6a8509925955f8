// Tables of members, links and channels.

import { STATES, bytes, count, h, keyed, ms, say, set } from './dom.js';
import { linkWords } from './map.js';

/** `fra-2` comes before `fra-10`. */
const natural = new Intl.Collator('en', { numeric: true });

/** A table whose first column opens what a row is about. */
class Table {
  #body = h('tbody');
  #columns;
  #open;
  #sort = 0;
  #down = false;
  #rows = [];
  #heads;

  constructor(parent, name, columns, open) {
    this.#columns = columns;
    this.#open = open;
    this.#heads = columns.map(([title, , kind], nth) => h('th', { scope: 'col', class: kind ?? '' },
      h('button', { type: 'button', onclick: () => this.#sortBy(nth) }, title)));
    parent.append(h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': name },
      h('table', {}, h('caption', { class: 'unseen' }, name), h('thead', {}, h('tr', {}, this.#heads)), this.#body)));
  }

  update(rows, selected) {
    this.#rows = rows;
    this.#selected = selected;
    this.#draw();
  }

  #selected = null;

  #sortBy(nth) {
    this.#down = this.#sort === nth ? !this.#down : nth > 0;
    this.#sort = nth;
    this.#draw();
  }

  #draw() {
    this.#heads.forEach((head, nth) => set(head, 'aria-sort',
      nth !== this.#sort ? null : this.#down ? 'descending' : 'ascending'));
    const [, value] = this.#columns[this.#sort];
    const by = (row) => value(row);
    const order = (a, b) => {
      const [x, y] = [by(a), by(b)];
      const numbers = typeof x === 'number' || typeof y === 'number';
      return numbers ? (x ?? -1) - (y ?? -1) : natural.compare(String(x ?? ''), String(y ?? ''));
    };
    const rows = [...this.#rows].sort((a, b) => (this.#down ? order(b, a) : order(a, b)) || natural.compare(a.id, b.id));
    keyed(this.#body, rows, (row) => row.id,
      (row) => h('tr', {}, this.#columns.map(([, , kind], nth) => (nth === 0
        ? h('th', { scope: 'row' }, h('button', { type: 'button', onclick: () => this.#open(row.id) }))
        : h('td', { class: kind ?? '' })))),
      (element, row) => {
        set(element, 'class', this.#selected === row.id ? 'selected' : null);
        this.#columns.forEach(([, value, , show], nth) => {
          const cell = element.children[nth];
          say(nth === 0 ? cell.firstElementChild : cell, show ? show(row) : String(value(row) ?? '–'));
        });
      });
  }
}

export class Tables {
  #members;
  #links;
  #channels;

  constructor(select) {
    const of = (id) => document.getElementById(id);
    const open = (kind) => (id) => select({ kind, id });
    this.#members = new Table(of('members'), 'Members', [
      ['Member', (it) => it.id, '', (it) => `${STATES[it.state][0]} ${it.id}`],
      ['State', (it) => STATES[it.state][1]],
      ['Region', (it) => it.region],
      ['Links', (it) => it.links, 'number'],
      ['Posted/s', (it) => it.counts?.posted_per_s, 'number', (it) => count(it.counts?.posted_per_s)],
      ['Heard/s', (it) => it.counts?.delivered_per_s, 'number', (it) => count(it.counts?.delivered_per_s)],
      ['Repaired', (it) => it.counts?.repaired, 'number', (it) => count(it.counts?.repaired)],
      ['Missed', (it) => it.counts?.missed, 'number', (it) => count(it.counts?.missed)],
    ], open('member'));
    this.#links = new Table(of('links'), 'Links, by pairs of regions', [
      ['Between', (it) => it.id, '', (it) => (it.a === it.b ? `in ${it.a}` : `${it.a} – ${it.b}`)],
      ['State', (it) => it.cut ?? '', '', linkState],
      ['Links', (it) => it.links, 'number'],
      ['Round trip', (it) => it.rtt_us, 'number', (it) => ms(it.rtt_us)],
      ['Longest', (it) => it.rtt_max_us, 'number', (it) => ms(it.rtt_max_us)],
    ], open('link'));
    this.#channels = new Table(of('channels'), 'Channels', [
      ['Channel', (it) => it.id, '', (it) => channelName(it.id)],
      ['Members', (it) => it.members, 'number'],
      ['Mesh', (it) => it.mesh?.[0], 'number', (it) => mesh(it.mesh)],
      ['Senders', (it) => it.senders, 'number'],
      ['Posted/s', (it) => it.posted_per_s, 'number', (it) => count(it.posted_per_s)],
      ['Heard/s', (it) => it.delivered_per_s, 'number', (it) => count(it.delivered_per_s)],
      ['Posted', (it) => it.posted, 'number', (it) => count(it.posted)],
      ['Behind', (it) => it.behind, 'number', (it) => count(it.behind)],
      ['Waiting', (it) => it.waiting_bytes, 'number', (it) => bytes(it.waiting_bytes)],
    ], open('channel'));
  }

  update(state, selected) {
    const rows = (all) => Object.entries(all).map(([id, it]) => ({ id, ...it }));
    const at = (kind) => (selected?.kind === kind ? selected.id : null);
    this.#members.update(rows(state.members), at('member'));
    this.#links.update(rows(state.links), at('link'));
    this.#channels.update(rows(state.channels), at('channel'));
  }
}

/** A name that can be seen. */
export const channelName = (name) => (name.trim() === '' ? JSON.stringify(name) : name);

export const mesh = (range) => {
  if (!range) return '–';
  return range[0] === range[1] ? String(range[0]) : `${range[0]} – ${range[1]}`;
};

export const linkState = (link) => {
  if (link.cut) return linkWords(link).split(', ').at(-1);
  if (link.links === 0) return 'not linked';
  return link.half > 0 ? `${link.half} known by one end alone` : 'linked';
};
