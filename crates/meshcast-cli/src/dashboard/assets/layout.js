// Where things are on the map: plain numbers in, plain numbers out.

const TAU = 2 * Math.PI;

/** The part of the world, on a map of 1000 by 420, that has land or names in it. */
const WORLD = { left: 35, right: 965, top: 0, bottom: 412 };
/** How much larger than the whole world a part of it may be shown. */
const ZOOM = 1.8;

/**
 * How the world is drawn so that these places fill a view: `[scale, left, top]`. It is never shown
 * smaller than the view is wide, and little is shown beyond its edges: places that are all in the
 * north are yet not at the upper end of the view.
 */
export function fit(places, width, height, [padX, padY]) {
  const whole = width / (WORLD.right - WORLD.left);
  const [xs, ys] = [0, 1].map((axis) => places.map((place) => place[axis]));
  const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const fits = Math.min((width - 2 * padX) / Math.max(x1 - x0, 1), (height - 2 * padY) / Math.max(y1 - y0, 1));
  const scale = Math.min(Math.max(fits, whole), whole * ZOOM);
  const shift = (size, middle, [first, last], beyond) => {
    const [least, most] = [size - last * scale, -first * scale].sort((a, b) => a - b);
    return Math.min(Math.max(size / 2 - middle * scale, least - beyond), most + beyond);
  };
  const left = shift(width, (x0 + x1) / 2, [WORLD.left, WORLD.right], 0);
  return [scale, left, shift(height, (y0 + y1) / 2, [WORLD.top, WORLD.bottom], height / 6)];
}

export const dotSize = (members, narrow) => {
  if (members === 1) return narrow ? 6 : 8;
  if (narrow) return members < 6 ? 4 : members <= 24 ? 2.8 : 2.2;
  return members < 6 ? 6 : members <= 24 ? 5 : 3.5;
};

/** Places beside each other: a few in a ring, more as seeds lie in a sunflower. */
export function spiral(nth, apart, total) {
  if (total === 1) return [0, 0];
  if (total === 2) return [(nth - 0.5) * apart, 0];
  if (total <= 5) {
    const angle = (TAU * nth) / total - TAU / 4;
    const away = apart / 2 / Math.sin(Math.PI / total);
    return [Math.cos(angle) * away, Math.sin(angle) * away];
  }
  const angle = nth * TAU * 0.381966;
  const away = apart * 0.62 * Math.sqrt(nth + 0.3);
  return [Math.cos(angle) * away, Math.sin(angle) * away];
}

export function clusterRadius(members, narrow) {
  const size = dotSize(members, narrow);
  const spots = Array.from({ length: members }, (_, nth) => spiral(nth, size * 2 + 2, members));
  return Math.max(...spots.map(([x, y]) => Math.hypot(x, y)), 0) + size;
}

/** Moves spots apart until none covers another or its name, and keeps them inside. */
export function spread(spots, width, height, narrow) {
  const label = narrow ? 36 : spots.length > 9 ? 48 : 66;
  for (let round = 0; round < 300; round++) {
    let moved = false;
    for (let i = 0; i < spots.length; i++) {
      for (let j = i + 1; j < spots.length; j++) {
        const [a, b] = [spots[i], spots[j]];
        const [dx, dy] = [b.at[0] - a.at[0] || 0.1, b.at[1] - a.at[1] || 0.1];
        const wide = Math.max(label, a.radius + b.radius + 14);
        const high = a.radius + b.radius + (narrow ? 22 : 34);
        const [overX, overY] = [wide - Math.abs(dx), high - Math.abs(dy)];
        if (overX <= 0 || overY <= 0) continue;
        moved = true;
        // Along whichever way is shorter.
        const axis = overX / wide < overY / high ? 0 : 1;
        const push = ((axis === 0 ? overX : overY) / 2) * Math.sign(axis === 0 ? dx : dy) * 0.5;
        a.at[axis] -= push;
        b.at[axis] += push;
      }
    }
    for (const { at, radius } of spots) {
      at[0] = Math.min(Math.max(at[0], radius + 24), width - radius - 24);
      at[1] = Math.min(Math.max(at[1], radius + 12), height - radius - (narrow ? 28 : 40));
    }
    if (!moved) break;
  }
}

/** A line that is bent upwards, as ways over a sphere are. */
export function curve([ax, ay], [bx, by], bend = BENDS[0]) {
  const control = [(ax + bx) / 2 - Math.abs(by - ay) * bend * 0.3, (ay + by) / 2 - Math.abs(bx - ax) * bend];
  return { from: [ax, ay], to: [bx, by], control, path: `M${ax} ${ay}Q${control[0]} ${control[1]} ${bx} ${by}` };
}

/** The point of a curve after this part of it. */
export function along({ from, to, control }, part) {
  const rest = 1 - part;
  return [0, 1].map((i) => rest * rest * from[i] + 2 * rest * part * control[i] + part * part * to[i]);
}

/** How much a line may be bent, what looks best first. */
const BENDS = [0.12, 0.2, 0.05, 0.28, -0.08, -0.16];

/** A curve between two spots that goes through no other one, nor its name, if there is one. */
export function route(a, b, spots) {
  const others = spots.filter((spot) => spot !== a && spot !== b);
  let best;
  for (const bend of BENDS) {
    const way = curve(a.at, b.at, bend);
    const points = Array.from({ length: 19 }, (_, i) => along(way, (i + 1) / 20));
    const room = Math.min(...others.flatMap(({ at: [ax, ay], radius }) => points.map(([x, y]) => Math.min(
      Math.hypot(x - ax, y - ay) - radius - 14,
      // Its name is below it.
      Math.hypot((x - ax) / 1.6, y - ay - radius - 20) - 18,
    ))), 0);
    if (best === undefined || room > best.room) best = { ...way, room };
    if (room === 0) break;
  }
  return best;
}

/** Where labels may be on a line, from the middle on. */
const PARTS = [0.5, 0.42, 0.58, 0.35, 0.65, 0.28, 0.72, 0.22, 0.78];

/** For each line, a point where its label covers neither a spot nor another label, if there is one. */
export function labelled(lines, spots, [wide, high]) {
  const taken = spots.map(({ at: [x, y], radius }) => {
    const half = Math.max(radius + 8, 34);
    return [x - half, y - radius - 8, x + half, y + radius + 36];
  });
  const covers = (box, other) => Math.max(0, Math.min(box[2], other[2]) - Math.max(box[0], other[0]))
    * Math.max(0, Math.min(box[3], other[3]) - Math.max(box[1], other[1]));
  return lines.map((line) => {
    let best;
    for (const part of PARTS) {
      const [x, y] = along(line, part);
      const box = [x - wide / 2, y - high / 2, x + wide / 2, y + high / 2];
      const covered = taken.reduce((sum, other) => sum + covers(box, other), 0);
      if (best === undefined || covered < best.covered) best = { at: [x, y], box, covered };
      if (covered === 0) break;
    }
    taken.push(best.box);
    return best.at;
  });
}
