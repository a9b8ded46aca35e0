// Convolutions and both their gradients by definition, over shapes that take every lowering.

import { afterAll, describe, expect, it } from "vitest";
import { distance } from "../../bench/distance.ts";
import { constant, conv2d, input, vjp } from "../../src/graph/index.ts";
import { key, normal } from "../../src/random.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";

const runtime = nodeRuntime({ threads: 1 });
afterAll(() => expect(runtime.open()).toBe(0));

interface Shapes {
  n: number;
  c: number;
  o: number;
  h: number;
  w: number;
  k: readonly [number, number];
  stride?: number;
  padding?: number;
  dilation?: number;
  groups?: number;
}

const cases: Shapes[] = [
  { n: 2, c: 16, o: 32, h: 7, w: 7, k: [3, 3], padding: 1 },
  { n: 3, c: 32, o: 16, h: 8, w: 6, k: [3, 3], padding: 1 },
  { n: 2, c: 16, o: 16, h: 20, w: 20, k: [3, 3], padding: 1 },
  { n: 2, c: 3, o: 16, h: 6, w: 5, k: [3, 3], padding: 1 },
  { n: 2, c: 16, o: 3, h: 6, w: 5, k: [3, 3], padding: 1 },
  { n: 2, c: 24, o: 20, h: 5, w: 5, k: [3, 3], padding: 1 },
  { n: 2, c: 16, o: 16, h: 8, w: 8, k: [3, 3], padding: 1, stride: 2 },
  { n: 2, c: 16, o: 16, h: 9, w: 9, k: [3, 3], padding: 2, dilation: 2 },
  { n: 2, c: 16, o: 16, h: 6, w: 6, k: [3, 3] },
  { n: 2, c: 16, o: 16, h: 6, w: 7, k: [1, 3] },
  { n: 2, c: 16, o: 16, h: 6, w: 6, k: [5, 5], padding: 2 },
  { n: 16, c: 16, o: 32, h: 5, w: 7, k: [3, 3], padding: 1 },
  { n: 32, c: 32, o: 16, h: 7, w: 5, k: [3, 3], padding: 1 },
  { n: 16, c: 16, o: 16, h: 8, w: 6, k: [3, 3], padding: 1, stride: 2 },
  { n: 16, c: 16, o: 16, h: 7, w: 9, k: [3, 3], stride: 2 },
  { n: 16, c: 16, o: 16, h: 8, w: 8, k: [3, 3], stride: 2 },
  { n: 16, c: 16, o: 16, h: 5, w: 6, k: [5, 3], padding: 2 },
  { n: 16, c: 16, o: 16, h: 6, w: 6, k: [1, 3] },
  { n: 16, c: 1, o: 16, h: 6, w: 6, k: [3, 3], padding: 1 },
  { n: 16, c: 16, o: 1, h: 6, w: 6, k: [3, 3], padding: 1 },
  // Enough positions for the blocked layout with variable weights.
  { n: 16, c: 16, o: 16, h: 16, w: 16, k: [3, 3], padding: 1, stride: 2 },
  { n: 16, c: 3, o: 16, h: 6, w: 6, k: [3, 3], padding: 1 },
  { n: 16, c: 16, o: 3, h: 6, w: 6, k: [3, 3], padding: 1 },
  { n: 16, c: 24, o: 20, h: 6, w: 6, k: [3, 3], padding: 1 },
  { n: 8, c: 16, o: 32, h: 9, w: 9, k: [3, 3], padding: 2, dilation: 2 },
  { n: 16, c: 32, o: 16, h: 6, w: 6, k: [5, 5], padding: 2 },
  { n: 2, c: 32, o: 32, h: 5, w: 5, k: [1, 1] },
  { n: 2, c: 32, o: 32, h: 5, w: 5, k: [3, 3], padding: 1, groups: 2 },
  { n: 2, c: 4, o: 4, h: 5, w: 5, k: [3, 3], padding: 1, groups: 4 },
];

/** Value and gradients by the definition, in float64. */
function byDefinition(
  s: Shapes,
  x: Float32Array,
  w: Float32Array,
  b: Float32Array,
  ct: (size: number) => Float32Array,
) {
  const { n, c, o, h, w: width, k, stride = 1, padding = 0, dilation = 1, groups = 1 } = s;
  const [ho, wo] = [h, width].map((d, i) => Math.floor((d + 2 * padding - dilation * (k[i] - 1) - 1) / stride) + 1);
  const y = new Float64Array(n * o * ho * wo);
  const dy = ct(y.length);
  const [dx, dw, db] = [x, w, b].map((t) => new Float64Array(t.length));
  const per = c / groups;
  for (let at = 0; at < y.length; at++) {
    const [i, q, r, t] = [
      Math.floor(at / (o * ho * wo)),
      Math.floor(at / (ho * wo)) % o,
      Math.floor(at / wo) % ho,
      at % wo,
    ];
    y[at] = b[q];
    db[q] += dy[at];
    for (let p = 0; p < per; p++)
      for (let u = 0; u < k[0]; u++)
        for (let v = 0; v < k[1]; v++) {
          const [row, column] = [r * stride - padding + u * dilation, t * stride - padding + v * dilation];
          if (row < 0 || row >= h || column < 0 || column >= width) continue;
          const from = ((i * c + Math.floor(q / (o / groups)) * per + p) * h + row) * width + column;
          const weight = ((q * per + p) * k[0] + u) * k[1] + v;
          y[at] += x[from] * w[weight];
          dx[from] += dy[at] * w[weight];
          dw[weight] += dy[at] * x[from];
        }
  }
  return { y, dx, dw, db, dy };
}

describe("convolutions", () => {
  it.each(cases)("%o", async (s) => {
    const { n, c, o, h, w: width, k, stride, padding, dilation, groups = 1 } = s;
    const values = {
      x: normal(key(1), n * c * h * width),
      w: normal(key(2), (o * c * k[0] * k[1]) / groups),
      b: normal(key(3), o),
    };
    const expected = byDefinition(s, values.x, values.w, values.b, (size) => normal(key(4), size));
    const x = input("x", [n, c, h, width]);
    const w = input("w", [o, c / groups, ...k]);
    const b = input("b", [o]);
    const y = conv2d(x, w, b, { stride, padding, dilation, groups });
    const [dx, dw, db] = vjp([y], [constant(Float32Array.from(expected.dy), y.shape)], [x, w, b]);
    const program = await runtime.compile({ y, dx, dw, db });
    const found = await program.run(values);
    await program.dispose();
    for (const name of ["y", "dx", "dw", "db"] as const)
      expect(distance(found[name].data as Float32Array, expected[name]), name).toBeLessThan(2e-6);
  });
});
