// Distributions in the plane that people know by sight, centered and scaled to about unit variance per coordinate.
import { fold, type Key, normal, uniform } from "../random.ts";
import { arrayDataset, type Dataset } from "./dataset.ts";

type Point = readonly [x: number, y: number];

interface Toy {
  /** Mean and root mean square of `point`, which are taken out. */
  readonly center: Point;
  readonly scale: number;
  /** u: three numbers in [0, 1); z: two standard normal ones. */
  point(u: readonly [number, number, number], z: Point): Point;
  /** Where the points fall into parts that can be told apart: how many, and which a point belongs to. */
  readonly classes?: number;
  label?(u: readonly [number, number, number]): number;
}

const { PI, cos, sin, sqrt, floor, exp } = Math;
const polar = (r: number, angle: number, noise: number, z: Point): Point => [
  r * cos(angle) + noise * z[0],
  r * sin(angle) + noise * z[1],
];
/** Three half turns outwards with even density along the arm; radius 1 at the end. */
const arm = (u: number, start: number, z: Point) => polar(sqrt(u), start + 3 * PI * sqrt(u), 0.02, z);

const toys = {
  "8gaussians": {
    center: [0, 0],
    scale: 1,
    point: ([a], z) => polar(1.4, (floor(8 * a) * PI) / 4, 0.14, z),
    classes: 8,
    label: ([a]) => floor(8 * a),
  },
  "25gaussians": {
    center: [0, 0],
    scale: sqrt(2.01),
    point: ([a, b], z) => [floor(5 * a) - 2 + 0.1 * z[0], floor(5 * b) - 2 + 0.1 * z[1]],
  },
  checkerboard: {
    center: [0, 0],
    scale: 2 / sqrt(3),
    point: ([a, b, c]) => {
      const x = 4 * a - 2;
      const odd = ((floor(x) % 2) + 2) % 2;
      return [x, 2 * floor(2 * c) - 2 + odd + b];
    },
  },
  moons: {
    center: [0, 0],
    scale: 0.7069,
    point: ([a, b], z) => {
      const side = a < 0.5 ? 1 : -1;
      return [side * (cos(PI * b) - 0.5) + 0.05 * z[0], side * (sin(PI * b) - 0.25) + 0.05 * z[1]];
    },
    classes: 2,
    label: ([a]) => (a < 0.5 ? 0 : 1),
  },
  circles: {
    center: [0, 0],
    scale: 0.613,
    point: ([a, b], z) => polar(a < 1 / 3 ? 0.5 : 1, 2 * PI * b, 0.03, z),
  },
  // Four circles, as dense on each: circle k has k tenths of the points.
  rings: {
    center: [0, 0],
    scale: 0.559,
    point: ([a, b], z) => polar((a < 0.1 ? 1 : a < 0.3 ? 2 : a < 0.6 ? 3 : 4) / 4, 2 * PI * b, 0.02, z),
  },
  spiral: { center: [-0.045, 0.2024], scale: 0.478, point: ([a], z) => arm(a, 0, z) },
  "2spirals": { center: [0, 0], scale: 0.5, point: ([a, b], z) => arm(a, b < 0.5 ? 0 : PI, z) },
  swissroll: {
    center: [0.1411, 0.0151],
    scale: 0.481,
    point: ([a], z) => polar((1 + 2 * a) / 3, 1.5 * PI * (1 + 2 * a), 0.02, z),
  },
  pinwheel: {
    center: [0, 0],
    scale: 0.742,
    point: ([a], z) => {
      const r = 1 + 0.3 * z[0];
      const across = 0.1 * z[1];
      const angle = (2 * PI * floor(5 * a)) / 5 + 0.25 * exp(r);
      return [r * cos(angle) - across * sin(angle), r * sin(angle) + across * cos(angle)];
    },
  },
} satisfies Record<string, Toy>;

export type ToyName = keyof typeof toys;

export const toyNames = Object.keys(toys) as readonly ToyName[];

export const isToyName = (name: string): name is ToyName => Object.hasOwn(toys, name);

/** n points, [n, 2]. More points under the same key begin with the same ones. */
export function toy(name: ToyName, key: Key, n: number): Float32Array {
  const { center, scale, point }: Toy = toys[name];
  const u = uniform(fold(key, "position"), 3 * n);
  const z = normal(fold(key, "noise"), 2 * n);
  const out = new Float32Array(2 * n);
  for (let i = 0; i < n; i++) {
    const [x, y] = point([u[3 * i], u[3 * i + 1], u[3 * i + 2]], [z[2 * i], z[2 * i + 1]]);
    out[2 * i] = (x - center[0]) / scale;
    out[2 * i + 1] = (y - center[1]) / scale;
  }
  return out;
}

/** The toys whose points have classes, on demand. */
export const labeledToys = toyNames.filter((name) => (toys[name] as Toy).classes !== undefined);

/** `size` fixed points as a dataset of the shape [2, 1, 1]. Throws a RangeError for classes of a toy that has none. */
export function toyDataset(name: ToyName, key: Key, size: number, { classes = false } = {}): Dataset {
  const points = toy(name, key, size);
  if (!classes) return arrayDataset(`toy:${name}`, points, [2, 1, 1]);
  const { label, classes: count }: Toy = toys[name];
  if (!label || count === undefined)
    throw new RangeError(`The points of toy:${name} have no classes, those of ${labeledToys.join(", ")} have.`);
  const u = uniform(fold(key, "position"), 3 * size);
  const labels = Array.from({ length: size }, (_, i) => label([u[3 * i], u[3 * i + 1], u[3 * i + 2]]));
  return arrayDataset(`toy:${name}+classes`, points, [2, 1, 1], { labels, classes: count });
}
