// One member, link, channel or region, and what can be done to it.

import { ask, change } from './live.js';
import { STATES, bytes, clock, count, h, morphChildren, ms, plural, span } from './dom.js';
import { channelName, linkState, mesh } from './tables.js';

export class Panel {
  #element = document.getElementById('panel');
  #close;
  #follow;
  #select;
  #selected = null;
  #state = null;
  #detail = null;
  #wrong = '';
  #drawn = '';
  #found;
  #timer = 0;
  /** What waits for an answer to what was asked for, as kind and id. */
  #busy = new Set();
  /** Parts that were opened or closed, by name. */
  #opened = new Map();

  /** `found(peers)` is told whom the member that is shown is linked to. */
  constructor({ close, follow, select, found }) {
    this.#close = close;
    this.#follow = follow;
    this.#select = select;
    this.#found = found;
  }

  show(selected) {
    this.#selected = selected;
    this.#detail = null;
    this.#wrong = '';
    this.#drawn = '';
    this.#element.replaceChildren();
    this.#element.hidden = selected === null;
    this.#draw();
    this.#load();
    clearInterval(this.#timer);
    // Who is present changes while nothing else does.
    if (selected?.kind === 'channel') this.#timer = setInterval(() => document.hidden || this.#load(), 1000);
    if (selected !== null) this.#element.querySelector('h2')?.focus({ preventScroll: true });
  }

  update(state) {
    this.#state = state;
    if (this.#selected === null) return;
    this.#draw();
    this.#load();
  }

  async #load() {
    const selected = this.#selected;
    if (selected === null) return;
    const { kind, id } = selected;
    const link = this.#state?.links[id];
    try {
      let detail = null;
      if (kind === 'member' && this.#state?.members[id]?.counts) detail = await ask('/api/member', { name: id });
      if (kind === 'channel') detail = await ask('/api/channel', { name: id });
      if (kind === 'link' && link) detail = await ask('/api/link', { a: link.a, b: link.b });
      if (this.#selected !== selected) return;
      this.#detail = detail;
      if (kind === 'member') this.#found(detail?.peers.map(({ name }) => name) ?? []);
      this.#draw();
    } catch {
      // It went between two rounds: the next one says so.
    }
  }

  #draw() {
    if (this.#selected === null || this.#state === null) return;
    const { kind, id } = this.#selected;
    const state = this.#state;
    const it = { member: state.members, link: state.links, channel: state.channels, region: state.regions }[kind][id];
    const drawn = JSON.stringify([kind, id, it, this.#detail, this.#wrong, this.#isBusy(), state.breakable, state.cuts, state.why_not,
      kind === 'region' ? Object.entries(state.members).filter(([, member]) => member.region === id).map(([name, { state }]) => [name, state]) : 0]);
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    const focused = document.activeElement;
    const body = it === undefined ? [h('p', {}, 'It is gone.')] : this[`_${kind}`](id, it, this.#detail);
    const fresh = h('div', {},
      h('div', { class: 'head' },
        h('h2', { tabindex: -1 }, this.#title(kind, id, it)),
        h('button', { type: 'button', 'data-do': 'close', 'aria-label': 'Close', onclick: this.#close }, '×')),
      ...body,
      h('p', { class: 'wrong', role: 'alert' }, this.#wrong));
    // What stays is not made anew: it is read, scrolled and clicked meanwhile.
    morphChildren(this.#element, fresh);
    if (focused !== document.activeElement && this.#element.contains(focused)) focused.focus({ preventScroll: true });
  }

  #isBusy() {
    return this.#busy.has(`${this.#selected.kind} ${this.#selected.id}`);
  }

  #title(kind, id, it) {
    if (kind === 'member') return `${it ? STATES[it.state][0] : '×'} ${id}`;
    if (kind === 'link') return it && it.a !== it.b ? `${it.a} – ${it.b}` : `in ${it?.a ?? id}`;
    if (kind === 'channel') return `channel ${channelName(id)}`;
    return id || 'no region';
  }

  #act(name, what, strong = false, about = name) {
    return h('button', {
      type: 'button',
      'data-do': about,
      'aria-label': about,
      class: strong ? 'strong' : '',
      // One thing at a time: what a second click should do is not known before the first is done.
      disabled: this.#isBusy(),
      onclick: () => this.#do(what),
    }, name);
  }

  async #do(what) {
    if (this.#isBusy()) return;
    const selected = this.#selected;
    const about = `${selected.kind} ${selected.id}`;
    this.#busy.add(about);
    this.#draw();
    let wrong = '';
    try {
      await change('/api/faults', what);
    } catch (error) {
      wrong = error.message;
    }
    this.#busy.delete(about);
    if (this.#selected === selected) this.#wrong = wrong;
    this.#draw();
  }

  /** A part that can be closed, and stays so. */
  #part(name, title, isOpen, content) {
    return h('details', {
      'data-name': name,
      open: this.#opened.get(name) ?? isOpen,
      ontoggle: ({ currentTarget }) => this.#opened.set(name, currentTarget.open),
    }, h('summary', {}, title), content);
  }

  #actions(...actions) {
    if (this.#state.breakable) return h('div', { class: 'actions' }, actions);
    const { why_not: why } = this.#state;
    return why === undefined ? null : h('p', { class: 'muted' }, `Nothing can be broken here: ${why}.`);
  }

  /** What can be done to the link between two members alone. */
  #pair(a, b) {
    if (!this.#state.breakable) return '';
    const is = (from, to) => (cut) => cut.from === from && cut.to === to;
    const isCut = this.#state.cuts.some(is(a, b)) || this.#state.cuts.some(is(b, a));
    return isCut
      ? this.#act('✚ Heal', { fault: 'mend', a, b }, true, `Heal ${a} – ${b}`)
      : this.#act('✂ Cut', { fault: 'partition', groups: [[a], [b]] }, false, `Cut ${a} – ${b}`);
  }

  /** The pairs of members that were cut by name, each once. Their links are gone sooner or later. */
  #cutPairs() {
    const { cuts, members } = this.#state;
    const pairs = cuts.filter(({ from, to }) => from in members && to in members).map(({ from, to }) => [from, to].sort());
    return [...new Map(pairs.map((pair) => [pair.join('|'), pair])).values()];
  }

  _member(id, member, detail) {
    const running = member.state === 'up' || member.state === 'paused' || member.state === 'silent';
    const node = detail?.node;
    const counts = member.counts;
    const fact = (name, value) => [h('dt', {}, name), h('dd', {}, value)];
    return [
      h('p', { class: 'muted' }, `${STATES[member.state][1]} in ${member.region}${where(this.#state.regions[member.region])}`),
      member.state === 'elsewhere' ? null : this.#actions(
        member.state === 'paused' ? this.#act('Resume', { fault: 'resume', node: id }, true) : null,
        member.state === 'up' ? this.#act('Pause', { fault: 'pause', node: id }) : null,
        running ? this.#act('Kill', { fault: 'kill', node: id }) : null,
        running ? this.#act('Kill silently', { fault: 'kill', node: id, silent: true }) : null,
        this.#act(member.state === 'down' ? 'Start' : 'Restart', { fault: 'restart', node: id }, member.state === 'down'),
      ),
      h('dl', { class: 'facts' },
        fact('Links', String(member.links)),
        counts ? [
          fact('Posted', `${count(counts.posted)} (${count(counts.posted_per_s)}/s)`),
          fact('Heard', `${count(counts.delivered)} (${count(counts.delivered_per_s)}/s)`),
          fact('Repaired', plural(counts.repaired, 'frame')),
          fact('Missed', plural(counts.missed, 'message')),
          fact('Dropped', plural(counts.dropped, 'frame')),
          fact('Mute links', count(counts.mute_links)),
          fact('History', `${counts.history_mib} MiB`),
        ] : null,
        node ? [
          fact('Up for', span(Date.now() - Date.parse(node.started_at))),
          fact('Version', node.version),
          fact('Process', String(node.pid)),
        ] : null,
        member.peer_id ? fact('Peer id', h('code', { title: member.peer_id }, `…${member.peer_id.slice(-8)}`)) : null,
        member.url ? [h('dt', {}, 'Service'), h('dd', { class: 'all' }, h('a', { href: `${member.url}/messages`, rel: 'noreferrer' }, member.url))] : null),
      detail ? this.#rows('Links', ['Member', 'Region', 'Round trip', 'Dialled by', ''], detail.peers.map((peer) => [
        this.#go('member', peer.name), peer.region, ms(peer.rtt_us), peer.direction === 'inbound' ? 'them' : 'us', this.#pair(id, peer.name),
      ]).concat(this.#cutPairs().filter((pair) => pair.includes(id)).map((pair) => pair.find((name) => name !== id))
        .filter((other) => !detail.peers.some(({ name }) => name === other))
        .map((other) => [this.#go('member', other), this.#state.members[other].region, '–', '× no link', this.#pair(id, other)]))) : null,
      detail ? this.#rows('Channels', ['Channel', 'Mesh', 'Members', 'Behind'], detail.channels.map((channel) => [
        this.#go('channel', channel.name), String(channel.mesh), String(channel.subscribers), count(channel.behind),
      ])) : null,
      detail ? this.#part('counters', 'All it counted', false,
        h('dl', { class: 'facts small' }, Object.entries(detail.counters).map(([name, value]) =>
          fact(name.replaceAll('_', ' '), String(value))))) : null,
    ].flat().filter(Boolean);
  }

  _link(id, link, detail) {
    const inside = link.a === link.b;
    const cut = { fault: 'partition', groups: [[link.a], [link.b]] };
    return [
      h('p', { class: 'muted' }, inside ? `${plural(link.links, 'link')} inside of ${link.a}` : linkState(link)),
      inside ? null : this.#actions(
        link.cut === 'both' ? null : this.#act('Cut', cut, !link.cut),
        link.cut ? null : this.#act(`Cut ${link.a} → ${link.b}`, { fault: 'one_way', from: link.a, to: link.b }),
        link.cut ? null : this.#act(`Cut ${link.b} → ${link.a}`, { fault: 'one_way', from: link.b, to: link.a }),
        link.cut ? this.#act('Heal', { fault: 'mend', a: link.a, b: link.b }, true) : null),
      h('dl', { class: 'facts' },
        h('dt', {}, 'Links'), h('dd', {}, String(link.links)),
        h('dt', {}, 'Round trip'), h('dd', {}, ms(link.rtt_us)),
        h('dt', {}, 'Longest'), h('dd', {}, ms(link.rtt_max_us))),
      detail ? this.#rows('Each link', ['From', 'To', 'Round trip', '', ''], detail.links.map((pair) => [
        this.#go('member', pair.a), this.#go('member', pair.b), ms(pair.rtt_us),
        pair.half ? 'one end alone' : pair.mute > 0 ? 'was mute' : '', this.#pair(pair.a, pair.b),
      ]).concat(this.#cutPairs()
        .filter((pair) => pair.map((name) => this.#state.members[name].region).sort().join('|') === [link.a, link.b].sort().join('|'))
        .filter(([a, b]) => !detail.links.some((other) => [other.a, other.b].sort().join('|') === `${a}|${b}`))
        .map(([a, b]) => [this.#go('member', a), this.#go('member', b), '–', '× no link', this.#pair(a, b)]))) : null,
    ].filter(Boolean);
  }

  _channel(id, channel, detail) {
    return [
      h('div', { class: 'actions' }, h('button', { type: 'button', 'data-do': 'follow', class: 'strong', onclick: () => this.#follow(id) }, 'Follow')),
      h('dl', { class: 'facts' },
        h('dt', {}, 'Open at'), h('dd', {}, plural(channel.members, 'member')),
        h('dt', {}, 'Mesh'), h('dd', {}, `${mesh(channel.mesh)} peers of each`),
        h('dt', {}, 'Posted'), h('dd', {}, `${count(channel.posted)} (${count(channel.posted_per_s)}/s)`),
        h('dt', {}, 'Heard'), h('dd', {}, `${count(channel.delivered)} (${count(channel.delivered_per_s)}/s)`),
        h('dt', {}, 'Repaired'), h('dd', {}, plural(channel.repaired, 'message')),
        h('dt', {}, 'Missed'), h('dd', {}, plural(channel.missed, 'message')),
        h('dt', {}, 'Dropped'), h('dd', {}, plural(channel.dropped, 'message')),
        h('dt', {}, 'Most behind'), h('dd', {}, plural(channel.behind, 'message')),
        h('dt', {}, 'Waiting'), h('dd', {}, bytes(channel.waiting_bytes))),
      detail ? this.#present(detail.present) : null,
      detail ? this.#rows('Members here', ['Member', 'Region', 'Mesh', 'Behind', 'Unread', 'Repaired', 'Missed', 'Dropped'], detail.members.map((it) => [
        this.#go('member', it.name), it.region, meshOf(it), count(it.behind), bytes(it.unread_bytes), count(it.repaired), count(it.missed), count(it.dropped),
      ])) : null,
      detail ? this.#rows('Senders', ['Sender', 'Region', 'Last number'], detail.senders.map((it) => [
        it.name ?? '–', it.region ?? '–', String(it.seq),
      ])) : null,
    ].flat().filter(Boolean);
  }

  /** Who has the channel open in the whole mesh, and what each says of itself. */
  #present(present) {
    if (present === null) return h('p', { class: 'muted' }, 'Looking who is present …');
    const { by, members, left_out: more } = present;
    if (by === null) return h('p', { class: 'muted' }, 'No member here has it open, to tell who is present.');
    return [
      this.#rows('Present', ['Member', 'Region', 'Since', 'Heard', 'State'], members.map((it) => [
        this.#go('member', it.name), it.region, clock(Date.parse(it.since)), it.silent ? '? silent' : '● yes', it.state ?? '–',
      ])),
      h('p', { class: 'muted' }, `As ${by} sees it${more > 0 ? `; ${more} more are not shown` : ''}.`),
    ];
  }

  _region(id, region) {
    const members = Object.entries(this.#state.members).filter(([, member]) => member.region === id);
    return [
      h('p', { class: 'muted' }, `${region.city ?? 'somewhere'} · ${region.up} of ${plural(region.members, 'member')} up`),
      Object.keys(this.#state.regions).length > 1 ? this.#actions(
        this.#act('Cut off', { fault: 'partition', groups: [[id]] }, true),
        this.#act('Heal all links', { fault: 'heal' })) : null,
      this.#rows('Members', ['Member', 'State', 'Links'], members.map(([name, member]) => [
        this.#go('member', name), STATES[member.state].join(' '), String(member.links),
      ])),
    ].filter(Boolean);
  }

  #go(kind, id) {
    return h('button', { type: 'button', class: 'go', 'data-do': `${kind} ${id}`, onclick: () => this.#select({ kind, id }) },
      kind === 'channel' ? channelName(id) : id);
  }

  #rows(title, heads, rows) {
    const key = (row) => row.slice(0, 2).map((cell) => cell.textContent ?? cell).join(' ');
    return this.#part(title, `${title} (${rows.length})`, true,
      h('div', { class: 'scroll' }, h('table', {},
        h('thead', {}, h('tr', {}, heads.map((head) => h('th', { scope: 'col' }, head)))),
        h('tbody', {}, rows.map((row) => h('tr', { 'data-key': key(row) }, row.map((cell) => h('td', {}, cell))))))));
  }
}

/** How many gossip of a member sends a channel to at once, and to whom. */
function meshOf({ mesh: size, sends_to: names = [] }) {
  const more = size - names.length;
  return names.length === 0 ? String(size) : `${size}: ${names.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

const where = (region) => (region?.city ? `, ${region.city}` : '');
