// Where the map puts things, without a browser: on the world of those who run in many regions, on
// one with three, and where there is little room.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

const assets = new URL('../../crates/meshcast-cli/src/dashboard/assets/', import.meta.url);
// As modules, whatever the files around them say.
const load = (name) => import(`data:text/javascript,${encodeURIComponent(readFileSync(new URL(name, assets), 'utf8'))}`);
const { along, clusterRadius, fit, labelled, route, spread } = await load('layout.js');
const { project } = await load('world.js');

const PLACES = {
  fra: [8.7, 50.1], iad: [-77.5, 39], nrt: [139.7, 35.7], gru: [-46.6, -23.5], syd: [151.2, -33.9],
  ams: [4.9, 52.4], cdg: [2.4, 48.9], jnb: [28, -26.2], lhr: [-0.1, 51.5], ord: [-87.6, 41.9], sin: [103.8, 1.3], sjc: [-121.9, 37.3],
};
const VIEWS = [
  { regions: ['fra', 'iad', 'nrt'], members: 1, width: 895, height: 594 },
  { regions: ['fra', 'iad', 'nrt', 'gru', 'syd'], members: 20, width: 895, height: 594 },
  { regions: ['fra', 'iad', 'nrt', 'gru', 'syd'], members: 20, width: 374, height: 262 },
  { regions: Object.keys(PLACES), members: 8, width: 895, height: 594 },
];

function laidOut({ regions, members, width, height }) {
  const narrow = width < 600;
  const radius = clusterRadius(members, narrow);
  const places = regions.map((name) => project(...PLACES[name]));
  const [scale, left, top] = fit(places, width, height, [48 + radius, 44 + radius]);
  const spots = places.map(([x, y], nth) => ({ name: regions[nth], at: [x * scale + left, y * scale + top], radius }));
  spread(spots, width, height, narrow);
  const pairs = spots.flatMap((a, nth) => spots.slice(nth + 1).map((b) => [a, b]));
  return { spots, pairs, lines: pairs.map(([a, b]) => route(a, b, spots)) };
}

const named = ({ regions, width }) => `${regions.length} regions on ${width} px`;

test('all regions are inside of the map, and none covers another', () => {
  for (const view of VIEWS) {
    const { spots } = laidOut(view);
    for (const { name, at: [x, y], radius } of spots) {
      assert.ok(x - radius >= 0 && x + radius <= view.width, `${name} of ${named(view)}: ${x}`);
      assert.ok(y - radius >= 0 && y + radius <= view.height, `${name} of ${named(view)}: ${y}`);
    }
    for (const [a, b] of laidOut(view).pairs) {
      const apart = Math.hypot(a.at[0] - b.at[0], a.at[1] - b.at[1]);
      assert.ok(apart > a.radius + b.radius, `${a.name} and ${b.name} of ${named(view)}`);
    }
  }
});

test('of five regions no link seems to go through one that it has nothing to do with', () => {
  for (const view of VIEWS.filter(({ regions }) => regions.length <= 5)) {
    const { spots, pairs, lines } = laidOut(view);
    lines.forEach((line, nth) => {
      for (const spot of spots.filter((other) => !pairs[nth].includes(other))) {
        for (let part = 0; part <= 1; part += 0.01) {
          const [x, y] = along(line, part);
          const away = Math.hypot(x - spot.at[0], y - spot.at[1]);
          assert.ok(away > spot.radius, `${pairs[nth].map(({ name }) => name)} at ${spot.name} of ${named(view)}`);
        }
      }
    });
  }
});

test('of five regions no round trip is written over another one or over a region', () => {
  for (const view of VIEWS.filter(({ regions, width }) => regions.length <= 5 && width > 600)) {
    const { spots, lines } = laidOut(view);
    const places = labelled(lines, spots, [50, 18]);
    places.forEach(([x, y], nth) => {
      for (const [x2, y2] of places.slice(nth + 1)) {
        assert.ok(Math.abs(x - x2) >= 50 || Math.abs(y - y2) >= 18, `${nth} of ${named(view)}`);
      }
      for (const { name, at, radius } of spots) {
        assert.ok(Math.hypot(x - at[0], y - at[1]) > radius + 9, `${nth} at ${name} of ${named(view)}`);
      }
    });
  }
});
