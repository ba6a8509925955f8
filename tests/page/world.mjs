// Makes the outline of land in assets/world.js of the page. By hand, when it is to change:
//
//   npm install --no-save world-atlas@2.0.2 topojson-client@3.1.0 && node world.mjs
//
// Natural Earth 1:110m, which is in the public domain (naturalearthdata.com), as packed by
// world-atlas 2.0.2 (ISC). Antarctica and islands that would not be seen are left out.
import { readFileSync, writeFileSync } from 'node:fs';
import { feature } from 'topojson-client';

const topology = JSON.parse(readFileSync('node_modules/world-atlas/land-110m.json'));
const land = feature(topology, topology.objects.land);
const file = new URL('../../crates/meshcast-cli/src/dashboard/assets/world.js', import.meta.url);
const source = readFileSync(file, 'utf8');
const { project } = await import(`data:text/javascript,${encodeURIComponent(source)}`);

const area = (ring) => Math.abs(ring.reduce((sum, [x, y], i) => {
  const [x2, y2] = ring[(i + 1) % ring.length];
  return sum + x * y2 - x2 * y;
}, 0)) / 2;

// Douglas and Peucker: leaves out points that are nearer to the line than `tolerance`.
function simplify(points, tolerance) {
  if (points.length < 3) return points;
  const [[x1, y1], [x2, y2]] = [points[0], points.at(-1)];
  const length = Math.hypot(x2 - x1, y2 - y1);
  let [far, most] = [0, 0];
  points.forEach(([x, y], i) => {
    const away = length === 0 ? Math.hypot(x - x1, y - y1)
      : Math.abs((x2 - x1) * (y1 - y) - (x1 - x) * (y2 - y1)) / length;
    if (away > most) [far, most] = [i, away];
  });
  if (most <= tolerance) return [points[0], points.at(-1)];
  return [...simplify(points.slice(0, far + 1), tolerance).slice(0, -1), ...simplify(points.slice(far), tolerance)];
}

const rings = land.features.flatMap(({ geometry }) =>
  (geometry.type === 'Polygon' ? [geometry.coordinates] : geometry.coordinates).map((polygon) => polygon[0]));
// A ring that crosses the date line goes on beyond it, rather than back around the world.
const unwrap = (ring) => {
  let turn = 0;
  const on = ring.map(([longitude, latitude], i) => {
    const step = i === 0 ? 0 : longitude - ring[i - 1][0];
    if (Math.abs(step) > 180) turn -= 360 * Math.sign(step);
    return [longitude + turn, latitude];
  });
  const mean = on.reduce((sum, [longitude]) => sum + longitude, 0) / on.length;
  const back = 360 * Math.round(mean / 360);
  return on.map(([longitude, latitude]) => [longitude - back, latitude]);
};
const paths = rings
  .map(unwrap)
  .filter((ring) => !ring.every(([, latitude]) => latitude < -58))
  .map((ring) => simplify(ring.map(([longitude, latitude]) => project(longitude, latitude)), 1.1))
  .filter((ring) => ring.length > 3 && area(ring) > 7)
  .map((ring) => {
    let [px, py] = [0, 0];
    return ring.slice(0, -1).map(([x, y], i) => {
      const [rx, ry] = [Math.round(x), Math.round(y)];
      const step = i === 0 ? `M${rx} ${ry}` : `l${rx - px} ${ry - py}`;
      [px, py] = [rx, ry];
      return step;
    }).filter((step) => step !== 'l0 0').join('') + 'z';
  });
// In lines of about a hundred characters.
const lines = paths.join('').match(/.{1,98}(?=[MlLz]|$)/g).map((line) => `  '${line}',`);
const head = source.slice(0, source.indexOf('export const LAND'));
writeFileSync(file, `${head}export const LAND = [\n${lines.join('\n')}\n].join('');\n`);
