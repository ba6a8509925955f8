// Nodes that there are not: `node fleet.mjs DIRECTORY NODES RATE`. For each it opens an admin socket
// below DIRECTORY/meshcast, and answers there what a node would that is linked to all others and
// hears RATE messages a second on the channel `earth`: as long, field by field, with counters that
// move. Whoever follows a channel is sent each message by itself, as a node sends it. It prints
// `ready` when all listen.
//
// So what shows nodes can be measured on a machine that could not carry as many.

import { mkdirSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';

const [directory, count, rate] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const REGIONS = ['fra', 'iad', 'nrt', 'gru', 'syd'];
const PAYLOAD = 'x'.repeat(180);
const MESH = '3f1c0a9be27d4455';
/** All senders post in turn. */
const began = Date.now();
const started = new Date(began).toISOString();
const nodes = Array.from({ length: count }, (_, n) => {
  const region = REGIONS[n % REGIONS.length];
  const number = Math.floor(n / REGIONS.length) + 1;
  // As long as real ones.
  const peer_id = `12D3KooW${String(n).padStart(3, '0')}${'AbCdEfGhJkMnPqRsTuVwXyZ23456789'.repeat(2)}`.slice(0, 52);
  return { n, name: `${region}-${number}`, region, peer_id, followers: new Set() };
});

/** How many messages were posted so far, by all and by one. */
const posted = () => Math.floor(((Date.now() - began) / 1000) * rate);
const postedBy = (n) => Math.max(0, Math.floor((posted() - n + count - 1) / count));

const COUNTERS = [
  'posted', 'frames_posted', 'delivered', 'missed', 'frames_accepted', 'frames_duplicate', 'frames_unwanted', 'frames_stale',
  'frames_without_room', 'frames_dropped', 'frames_repaired', 'frames_served', 'requests', 'requests_hedged', 'requests_refused',
  'answers_refused', 'frames_gossiped', 'frames_forwarded', 'frames_invalid', 'frames_refused', 'frames_without_peer', 'sync_bytes',
  'sync_invalid', 'recalled', 'unread', 'unfetched', 'expired', 'undecodable', 'handler_panics', 'refused', 'inbound', 'inbound_silent',
  'inbound_foreign', 'inbound_displaced', 'slow_peer', 'mute_links', 'unresponsive', 'offences', 'presence_records', 'presence_limited',
  'presence_refused', 'presence_forged', 'presence_beats', 'presence_messages', 'asks_made', 'ask_answers', 'ask_declines', 'ask_silent',
  'ask_gone', 'ask_unreached', 'asks_answered', 'asks_declined', 'asks_withdrawn', 'asks_spread', 'asks_relayed', 'ask_copies',
  'asks_refused', 'asks_lost', 'asks_dropped', 'memory_bytes', 'own_memory_bytes', 'memory_refused', 'history_bytes', 'inbound_pending',
];

function nodeReport({ n, name, region, peer_id }) {
  const moving = {
    posted: postedBy(n), frames_posted: postedBy(n), delivered: posted() - postedBy(n), frames_accepted: posted() - postedBy(n),
    frames_duplicate: 4 * posted(), frames_gossiped: 5 * posted(), frames_forwarded: posted(), sync_bytes: 90 * posted(),
    memory_bytes: 40_000 + (posted() % 9_000), history_bytes: Math.min(64 << 20, 300 * posted()),
  };
  return {
    schema: 'node/v1',
    node: { name, region, peer_id, mesh: MESH, pid: process.pid, started_at: started, listen_addresses: [`/ip4/127.0.0.1/tcp/${30_000 + n}`], version: '0.1.0', peers: count - 1, channels: 1 },
    counters: Object.fromEntries(COUNTERS.map((counter) => [counter, moving[counter] ?? 0])),
    protocol: 9,
    limits: { max_message_bytes: 1 << 20, outbox_bytes: 8 << 20, unread_bytes: 8 << 20, max_channels: 1024, history_bytes: 64 << 20, memory_bytes: 256 << 20, history_age: 600_000_000, max_peers: 256 },
    refusals: [],
  };
}

function peerReport({ n: own }) {
  const others = nodes.filter(({ n }) => n !== own);
  return {
    schema: 'peers/v1',
    peers: others.map(({ n, name, region, peer_id }) => ({
      name, region, peer_id, addresses: [`/ip4/127.0.0.1/tcp/${30_000 + n}`],
      // Pings come every few seconds, each a little different.
      rtt_us: 1000 + (((own + n + 7) * 7919) % 90_000) + Math.floor(Math.random() * 800), clock_ahead_us: (n * 37) % 400,
      direction: own < n ? 'inbound' : 'outbound', connected_since: started, shared_channels: 1, mute: 0,
      memory_bytes: 517 + (posted() % 300), memory_refused: 0, offences: 0, throttled: false,
    })),
    unlinked: [],
    seeds: [],
    accounts: others.slice(0, 10).map(({ name, region, peer_id }) => ({ name, region, peer_id, connected: true, memory_bytes: 517 + (posted() % 300), memory_refused: 0 })),
  };
}

function channelReport({ n: own, followers }) {
  const others = nodes.filter(({ n }) => n !== own).map(({ peer_id }) => peer_id);
  return {
    schema: 'channels/v1',
    channels: [{
      name: 'earth', objects: 1 + followers.size, observers: followers.size, subscribers: others, mesh: others.slice(0, 8),
      senders: nodes.map(({ n, name, region, peer_id }) => ({ name, region, peer_id, highest_seq: postedBy(n), delivered_seq: postedBy(n) })),
      outbox_bytes: 0, unread_bytes: 0, delivered: posted() - postedBy(own), repaired: 0, missed: 0, unread: 0, dropped: 0,
    }],
  };
}

/** A message as it is heard at a node. */
function line(number, at) {
  const from = nodes[number % count];
  const took = from.n === at.n ? 0 : 1 + ((from.n * 31 + at.n * 17) % 90);
  const posted_at = new Date(Date.now() - took).toISOString();
  return `${JSON.stringify({
    channel: 'earth', sender: from.peer_id, name: from.name, region: from.region, seq: Math.floor(number / count) + 1, posted_at,
    received_at: new Date().toISOString(), via: from.n === at.n ? 'local' : 'gossip', peer: from.peer_id, data: `${number} ${PAYLOAD}`,
  })}\n`;
}

let told = 0;
setInterval(() => {
  const upto = posted();
  for (; told < upto; told++) {
    for (const node of nodes) {
      if (node.followers.size === 0) continue;
      const text = line(told, node);
      for (const follower of node.followers) if (follower.writableLength < 1 << 20) follower.write(text);
    }
  }
}, 1);

const REPORTS = { '/v1/node': nodeReport, '/v1/peers': peerReport, '/v1/channels': channelReport };
mkdirSync(join(directory, 'meshcast'), { recursive: true, mode: 0o700 });
await Promise.all(nodes.map((node) => new Promise((resolve) => {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, 'http://node');
    const report = REPORTS[pathname];
    if (report) {
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(report(node)));
    } else if (pathname === '/v1/messages' && request.method === 'GET') {
      response.writeHead(200, { 'content-type': 'application/x-ndjson' });
      response.flushHeaders();
      node.followers.add(response);
      response.once('close', () => node.followers.delete(response));
    } else {
      response.writeHead(404, { 'content-type': 'application/json' }).end('{"error":{"code":"not_found","message":"there is nothing here"}}');
    }
  });
  server.listen(join(directory, 'meshcast', `${node.name}.sock`), resolve);
})));
console.log('ready');
process.once('SIGTERM', () => process.exit());
