// The page without nodes: its files as they are, and a server that says what a test wants it to say.

import { readFileSync } from 'node:fs';
import { once } from 'node:events';
import { createServer } from 'node:http';

const assets = new URL('../../crates/meshcast-cli/src/dashboard/assets/', import.meta.url);
const TYPES = { html: 'text/html', css: 'text/css', js: 'text/javascript' };

/**
 * Serves the page. `say(name, data)` is an event to all pages, `hangUp()` ends their streams. A page
 * that comes is told `first()`, events as `[name, data]`. `details` answers questions by path, and
 * `asked` is what was changed, each as `[path, body]`; `answer` is called before it is answered.
 */
export async function mock(first) {
  const streams = new Set();
  const it = { first, details: {}, asked: [], answer: async () => {}, wanted: [] };
  const event = ([name, data]) => `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
  const server = createServer(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url, 'http://mock');
    const send = (type, body) => response.writeHead(200, { 'content-type': type }).end(body);
    if (pathname === '/api/stream') {
      it.wanted.push(Object.fromEntries(searchParams));
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(`retry: 100\n\n${it.first().map(event).join('')}`);
      streams.add(response);
      response.once('close', () => streams.delete(response));
    } else if (request.method === 'POST') {
      const parts = await request.toArray();
      it.asked.push([pathname, JSON.parse(Buffer.concat(parts).toString())]);
      await it.answer();
      send('application/json', '{}');
    } else if (pathname.startsWith('/api/')) {
      const detail = it.details[pathname]?.(Object.fromEntries(searchParams));
      if (detail === undefined) response.writeHead(404).end();
      else send('application/json', JSON.stringify(detail));
    } else {
      const name = pathname === '/' ? 'index.html' : pathname.replace('/page/', '');
      send(TYPES[name.split('.').at(-1)], readFileSync(new URL(name, assets)));
    }
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  it.url = `http://127.0.0.1:${server.address().port}`;
  it.say = (name, data) => streams.forEach((stream) => stream.write(event([name, data])));
  it.hangUp = () => streams.forEach((stream) => stream.end());
  it.end = () => {
    server.closeAllConnections();
    server.close();
  };
  return it;
}

const PLACES = { fra: ['Frankfurt', 50.1, 8.7], iad: ['Virginia', 39, -77.5], nrt: ['Tokyo', 35.7, 139.7], gru: ['São Paulo', -23.5, -46.6], syd: ['Sydney', -33.9, 151.2] };

/** A document of so many members in each region, all linked. */
export function view(regions, each = 1) {
  const members = {};
  for (const region of regions) {
    for (let n = 1; n <= each; n++) {
      members[`${region}-${n}`] = {
        region, state: 'up', links: regions.length * each - 1, peer_id: `id-of-${region}-${n}`,
        counts: {
          channels: 1, posted_per_s: 1, delivered_per_s: 4, posted: 9, delivered: 36, missed: 0, repaired: 0,
          dropped: 0, mute_links: 0, behind: 0, waiting_bytes: 0, history_mib: 0,
        },
      };
    }
  }
  const links = {};
  regions.forEach((a, nth) => regions.slice(nth).forEach((b) => {
    const [x, y] = [a, b].sort();
    const count = a === b ? (each * (each - 1)) / 2 : each * each;
    if (count > 0) links[`${x}|${y}`] = { a: x, b: y, links: count, rtt_us: 90_000, rtt_max_us: 95_000, half: 0 };
  }));
  const count = regions.length * each;
  return {
    schema: 'page/v1', breakable: true, members, links, cuts: [], around: [],
    totals: { members: count, up: count, links: (count * (count - 1)) / 2, channels: 1, posted_per_s: 5, delivered_per_s: 20, posted: 45, delivered: 180, missed: 0, repaired: 0, dropped: 0, left_out: 0 },
    regions: Object.fromEntries(regions.map((name) => {
      const [city, latitude, longitude] = PLACES[name] ?? [];
      return [name, { city, latitude, longitude, members: each, up: each }];
    })),
    channels: { earth: { members: count, senders: 1, posted: 45, posted_per_s: 5, mesh: [4, 4], delivered: 0, repaired: 0, missed: 0, dropped: 0, behind: 0, waiting_bytes: 0 } },
  };
}

/** What a member says of itself: linked to all others. */
export const detailOf = (state) => ({ name }) => ({
  node: { name, started_at: '2026-01-01T00:00:00.000Z', version: '0.1.0', pid: 1 },
  counters: { posted: 1 },
  peers: Object.entries(state.members).filter(([other]) => other !== name).map(([other, { region }], nth) => ({ name: other, region, rtt_us: 1000 * nth + Math.random() * 1000, direction: 'inbound' })),
  channels: [{ name: 'earth', mesh: 4, subscribers: 4, behind: 0, objects: 1, outbox_bytes: 0, unread_bytes: 0, delivered: 0, repaired: 0, missed: 0, dropped: 0 }],
});
