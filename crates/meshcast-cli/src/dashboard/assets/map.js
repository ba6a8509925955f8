// The map: regions where they are on earth, or on a circle; members in them; what is between them.

import { KINDS, STATES, h, keyed, ms, plural, s, say, set } from './dom.js';
import { along, clusterRadius, curve, dotSize, fit, labelled, route, spiral, spread } from './layout.js';
import { LAND, project } from './world.js';

const TAU = 2 * Math.PI;
/** How many messages may be on their way on the map at once. */
const FLIGHTS = 16;
/** With more links than this on the map fewer are shown, or nothing else would be seen. */
const FLIGHTS_AMONG_MANY = 10;
/** In how many straight parts one goes along a curve. */
const STEPS = 16;

export class WorldMap {
  #svg;
  #land;
  #leaders = s('g', { class: 'leaders' });
  #spokes = s('g', { class: 'spokes' });
  #links = s('g', { class: 'links' });
  #regions = s('g', { class: 'regions' });
  /** What moves, over all else. The browser moves it by itself, and paints nothing for that. */
  #flights = h('div', { class: 'flights', 'aria-hidden': 'true' });
  #select;
  #state = null;
  #selected = null;
  #spots = new Map();
  /** The lines between spots that were asked for. */
  #routes = new Map();
  #placed = '';
  #flying = 0;
  #still = matchMedia('(prefers-reduced-motion: reduce)');

  constructor(parent, select) {
    this.#select = select;
    this.#land = s('path', { class: 'land', d: LAND, 'aria-hidden': 'true' });
    this.#svg = s('svg', { role: 'group', 'aria-label': 'Regions, members and links' },
      this.#land, this.#spokes, this.#links, this.#leaders, this.#regions);
    parent.append(this.#svg, this.#flights);
    new ResizeObserver(() => {
      this.#placed = '';
      this.#draw();
    }).observe(parent);
  }

  update(state, selected) {
    this.#state = state;
    this.#selected = selected;
    this.#draw();
  }

  #draw() {
    if (this.#state === null || this.#svg.clientWidth === 0) return;
    this.#place();
    this.#drawLinks();
    this.#drawRegions();
    this.#drawSpokes();
  }

  /** Where each region is drawn: as near to where it is as others leave room. */
  #place() {
    const width = this.#svg.clientWidth;
    const regions = Object.entries(this.#state.regions);
    const known = regions.filter(([, region]) => region.latitude !== undefined);
    const world = known.length > 0 && known.length * 2 >= regions.length;
    const narrow = width < 600;
    const many = regions.length > 8;
    // Beside the messages it has the height that is left; else as much as what is on it takes.
    const given = narrow ? 0 : this.#svg.parentElement.clientHeight;
    const height = given || Math.round(world ? width * (narrow ? (many ? 0.85 : 0.7) : 0.55) : Math.min(width * (narrow ? 0.95 : 0.6), 520));
    const sizes = regions.map(([name, region]) => `${name}:${region.members}`).join();
    const placed = `${width} ${height} ${world} ${sizes}`;
    if (placed === this.#placed) return;
    this.#placed = placed;
    this.#routes.clear();
    set(this.#svg, 'viewBox', `0 0 ${width} ${height}`);
    set(this.#svg, 'height', height);
    set(this.#land, 'hidden', !world);
    const largest = Math.max(...regions.map(([, region]) => clusterRadius(region.members, narrow)));
    const pad = narrow ? [20 + largest, 24 + largest] : [48 + largest, 44 + largest];
    const places = known.map(([, region]) => project(region.longitude, region.latitude));
    const [scale, left, top] = world ? fit(places, width, height, pad) : [1, 0, 0];
    set(this.#land, 'transform', `translate(${left} ${top}) scale(${scale})`);
    const unknown = regions.filter(([, region]) => region.latitude === undefined);
    const spots = regions.map(([name, region]) => {
      let home;
      if (world && region.latitude !== undefined) {
        const [x, y] = project(region.longitude, region.latitude);
        home = [x * scale + left, y * scale + top];
      } else if (world) {
        // Nowhere on earth that is known: in a row below.
        const nth = unknown.findIndex(([other]) => other === name);
        home = [((nth + 1) * width) / (unknown.length + 1), height - 44];
      } else {
        const nth = regions.findIndex(([other]) => other === name);
        const angle = (TAU * nth) / regions.length - TAU / 4;
        const single = regions.length === 1;
        home = [width / 2 + (single ? 0 : Math.cos(angle) * (Math.min(width, height) / 2 - 56)),
          height / 2 + (single ? 0 : Math.sin(angle) * (height / 2 - 56))];
      }
      return { name, home, at: [...home], radius: clusterRadius(region.members, narrow) };
    });
    spread(spots, width, height, narrow);
    this.#spots = new Map(spots.map((spot) => [spot.name, spot]));
    const moved = spots.filter(({ home, at }) => Math.hypot(home[0] - at[0], home[1] - at[1]) > 6);
    keyed(this.#leaders, moved, ({ name }) => name,
      () => s('g', {}, s('line'), s('circle', { r: 2 })),
      (group, { home, at }) => {
        const [line, dot] = group.children;
        set(line, 'x1', home[0]);
        set(line, 'y1', home[1]);
        set(line, 'x2', at[0]);
        set(line, 'y2', at[1]);
        set(dot, 'cx', home[0]);
        set(dot, 'cy', home[1]);
      });
  }

  #drawLinks() {
    const between = Object.entries(this.#state.links).filter(([, link]) => link.a !== link.b
      && this.#spots.has(link.a) && this.#spots.has(link.b));
    const crowded = between.length > 12 || this.#svg.clientWidth < 600;
    const most = Math.max(1, ...between.map(([, link]) => link.links));
    this.#links.classList.toggle('many', between.length > 24);
    const isSelected = (key) => this.#selected?.kind === 'link' && this.#selected.id === key;
    const lines = between.map(([, link]) => this.#route(link.a, link.b));
    const middles = labelled(lines, [...this.#spots.values()], crowded ? [18, 18] : [50, 18]);
    const middleOf = new Map(between.map(([key], nth) => [key, middles[nth]]));
    keyed(this.#links, between, ([key]) => key,
      ([key, link]) => this.#button('link', key, s('path', { class: 'hit' }), s('path', { class: 'line' }),
        s('text', { class: 'label' }), s('text', { class: 'sign' })),
      (group, [key, link]) => {
        const [hit, line, label, sign] = group.children;
        const { path } = this.#route(link.a, link.b);
        const middle = middleOf.get(key);
        set(hit, 'd', path);
        set(line, 'd', path);
        const state = link.cut ? `cut ${link.cut}` : link.links === 0 ? 'gone' : link.half > 0 ? 'half' : 'fine';
        set(group, 'class', `link ${state}${isSelected(key) ? ' selected' : ''}`);
        set(line, 'stroke-width', between.length > 24 ? 1 : 1 + (1.5 * link.links) / most);
        const words = linkWords(link);
        set(group, 'aria-label', words);
        set(group, 'data-link', key);
        say(label, (crowded && !isSelected(key)) || link.cut ? '' : link.links > 0 ? ms(link.rtt_us) : '');
        set(label, 'x', middle[0]);
        set(label, 'y', middle[1] + 4);
        say(sign, { both: KINDS.fault, a_to_b: '⇥', b_to_a: '⇤', part: '◐' }[link.cut] ?? '');
        set(sign, 'x', middle[0]);
        set(sign, 'y', middle[1] + 5);
      });
  }

  #drawRegions() {
    const byRegion = new Map([...this.#spots.keys()].map((name) => [name, []]));
    for (const [name, member] of Object.entries(this.#state.members)) byRegion.get(member.region)?.push([name, member]);
    const narrow = this.#svg.clientWidth < 600;
    keyed(this.#regions, [...byRegion], ([name]) => name,
      ([name]) => s('g', {},
        this.#button('region', name, s('circle', { class: 'plate' }), s('text', { class: 'name' }), s('text', { class: 'city' })),
        s('g', { class: 'dots' })),
      (group, [name, members]) => {
        const spot = this.#spots.get(name);
        const region = this.#state.regions[name];
        const [button, dots] = group.children;
        const [plate, label, city] = button.children;
        set(group, 'transform', `translate(${spot.at[0]} ${spot.at[1]})`);
        set(plate, 'r', spot.radius + (narrow ? 4 : 5));
        const selected = this.#selected?.kind === 'region' && this.#selected.id === name;
        const ill = region.up < region.members;
        set(button, 'class', `region${ill ? ' ill' : ''}${selected ? ' selected' : ''}`);
        set(button, 'aria-label', `region ${name}${region.city ? `, ${region.city}` : ''}: ${region.up} of ${plural(region.members, 'member')} up`);
        say(label, (region.members > 1 && !(narrow && this.#spots.size > 8)) || ill ? `${name || 'no region'} ${region.up}/${region.members}` : name || 'no region');
        set(label, 'y', spot.radius + 18);
        say(city, narrow || this.#spots.size > 9 ? '' : region.city ?? '');
        set(city, 'y', spot.radius + 31);
        this.#drawMembers(dots, members, narrow);
      });
  }

  #drawMembers(dots, members, narrow) {
    const size = dotSize(members.length, narrow);
    keyed(dots, members, ([name]) => name,
      ([name]) => this.#button('member', name, s('circle', { class: 'hit' }), s('circle', { class: 'dot' }), s('text', { class: 'glyph' })),
      (button, [name, member]) => {
        const nth = members.findIndex(([other]) => other === name);
        const [x, y] = spiral(nth, size * 2 + 2, members.length);
        set(button, 'transform', `translate(${x} ${y})`);
        const [hit, dot, glyph] = button.children;
        set(hit, 'r', Math.max(size + 1.5, members.length === 1 ? 14 : 0));
        set(dot, 'r', size);
        const [sign, word] = STATES[member.state];
        const selected = this.#selected?.kind === 'member' && this.#selected.id === name;
        set(button, 'class', `member ${member.state}${selected ? ' selected' : ''}`);
        set(button, 'aria-label', `member ${name}, ${word}, ${plural(member.links, 'link')}`);
        set(button, 'data-member', name);
        say(glyph, ['up', 'elsewhere'].includes(member.state) ? '' : sign);
        set(glyph, 'font-size', size * 2.2);
      });
  }

  /** The links of the member that is selected, to the members it is linked to. */
  #drawSpokes() {
    const peers = this.#selected?.kind === 'member' ? this.#selected.peers ?? [] : [];
    const from = this.#memberSpot(this.#selected?.id);
    const to = from ? peers.map((name) => [name, this.#memberSpot(name)]).filter(([, spot]) => spot) : [];
    keyed(this.#spokes, to, ([name]) => name, () => s('path'), (path, [name, spot]) => {
      const near = this.#state.members[name].region === this.#state.members[this.#selected.id].region;
      set(path, 'd', near ? `M${from}L${spot}` : curve(from, spot).path);
    });
  }

  #memberSpot(name) {
    const member = this.#state.members[name];
    const spot = member && this.#spots.get(member.region);
    if (!spot) return null;
    const mates = Object.entries(this.#state.members).filter(([, other]) => other.region === member.region);
    const size = dotSize(mates.length, this.#svg.clientWidth < 600);
    const [x, y] = spiral(mates.findIndex(([other]) => other === name), size * 2 + 2, mates.length);
    return [spot.at[0] + x, spot.at[1] + y];
  }

  #route(a, b) {
    const key = `${a}|${b}`;
    const known = this.#routes.get(key);
    if (known) return known;
    const way = route(this.#spots.get(a), this.#spots.get(b), [...this.#spots.values()]);
    this.#routes.set(key, way);
    return way;
  }

  #button(kind, id, ...children) {
    const open = () => this.#select({ kind, id });
    return s('g', {
      tabindex: 0,
      role: 'button',
      onclick: open,
      onkeydown: (event) => {
        if (event.key !== 'Enter' && event.key !== ' ') return;
        event.preventDefault();
        open();
      },
    }, ...children);
  }

  /** A message arrived: it is seen to go from one region to another. */
  fly(from, to, took, way) {
    if (this.#still.matches || document.hidden || this.#flying >= (this.#spots.size > 8 ? FLIGHTS_AMONG_MANY : FLIGHTS)) return;
    const [start, end] = [this.#spots.get(from), this.#spots.get(to)];
    if (!end) return;
    const lands = way === 'repair' || !start || from === to;
    const dot = h('i', { class: lands ? `pulse ${way ?? ''}` : 'flight' });
    this.#flights.append(dot);
    this.#flying += 1;
    // Slower than it was, so that it can be seen, and in proportion.
    const duration = lands ? 700 : Math.min(Math.max(took * 5, 250), 2000);
    dot.animate(lands ? ring(dot, end) : this.#way(from, to), { duration }).onfinish = () => {
      dot.remove();
      this.#flying -= 1;
    };
  }

  /** Where a message is on its way. */
  #way(from, to) {
    // Both ways are on one line, which is that of the link.
    const [a, b] = [from, to].sort();
    const line = this.#route(a, b);
    return Array.from({ length: STEPS + 1 }, (_, n) => {
      const [x, y] = along(line, (from > to ? STEPS - n : n) / STEPS);
      return { transform: `translate(${x}px, ${y}px)` };
    });
  }
}

/** A ring that grows around a region, and fades. */
function ring(dot, { at: [x, y], radius }) {
  const [first, last] = [radius + 4, radius + 22];
  dot.style.width = `${2 * last}px`;
  dot.style.height = `${2 * last}px`;
  const where = `translate(${x - last}px, ${y - last}px)`;
  return [{ transform: `${where} scale(${first / last})`, opacity: 1 }, { transform: where, opacity: 0 }];
}

/** A link in words. */
export function linkWords(link) {
  const what = link.links === 0 ? 'no link' : plural(link.links, 'link');
  const cut = {
    both: ', cut both ways',
    a_to_b: `, cut from ${link.a} to ${link.b}`,
    b_to_a: `, cut from ${link.b} to ${link.a}`,
    part: ', cut in part',
  }[link.cut] ?? '';
  const rtt = link.links > 0 && link.rtt_us !== undefined ? `, ${ms(link.rtt_us)} there and back` : '';
  return `${link.a} – ${link.b}: ${what}${rtt}${cut}`;
}
