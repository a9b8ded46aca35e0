// Derivatives of derivatives, against finite differences: grad(jvp(f)) is what continuous-time consistency needs.

import { describe, expect, it } from "vitest";
import type { Tensor } from "../../src/graph/index.ts";
import * as g from "../../src/graph/index.ts";
import { fold, key, normal } from "../../src/random.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";

const runtime = nodeRuntime({ threads: 1 });
const values = (name: string, n: number) => normal(fold(key(7), name), n).map((v) => 0.6 * v);

interface Case {
  name: string;
  shapes: Record<string, number[]>;
  f: (x: Record<string, Tensor>) => Tensor;
}
const cases: Case[] = [
  { name: "silu", shapes: { x: [3, 4] }, f: ({ x }) => g.silu(x) },
  { name: "gelu", shapes: { x: [3, 4] }, f: ({ x }) => g.gelu(x) },
  { name: "softmax", shapes: { x: [2, 5] }, f: ({ x }) => g.softmax(x) },
  { name: "exp of a quotient", shapes: { x: [4], w: [4] }, f: ({ x, w }) => g.exp(g.div(x, g.add(g.square(w), 1))) },
  { name: "matmul", shapes: { x: [3, 4], w: [4, 2] }, f: ({ x, w }) => g.tanh(g.matmul(x, w)) },
  { name: "linear", shapes: { x: [3, 4], w: [5, 4], b: [5] }, f: ({ x, w, b }) => g.silu(g.linear(x, w, b)) },
  {
    name: "conv2d",
    shapes: { x: [1, 2, 5, 4], w: [3, 2, 3, 3] },
    f: ({ x, w }) => g.tanh(g.conv2d(x, w, undefined, { padding: 1 })),
  },
  {
    name: "conv2d, stride 2",
    shapes: { x: [1, 2, 6, 5], w: [3, 2, 3, 3] },
    f: ({ x, w }) => g.tanh(g.conv2d(x, w, undefined, { stride: 2, padding: 1 })),
  },
  {
    name: "convTranspose2d",
    shapes: { x: [1, 2, 3, 3], w: [2, 3, 4, 4] },
    f: ({ x, w }) => g.tanh(g.convTranspose2d(x, w, undefined, { stride: 2, padding: 1 })),
  },
  {
    name: "groupNorm",
    shapes: { x: [2, 4, 3, 2], w: [4], b: [4] },
    f: ({ x, w, b }) => g.tanh(g.groupNorm(x, 2, w, b)),
  },
  { name: "layerNorm", shapes: { x: [3, 6], w: [6] }, f: ({ x, w }) => g.tanh(g.layerNorm(x, 1, w)) },
  { name: "rmsNorm", shapes: { x: [3, 6] }, f: ({ x }) => g.tanh(g.rmsNorm(x, 1)) },
  {
    name: "attention",
    shapes: { q: [1, 1, 3, 4], k: [1, 1, 4, 4], v: [1, 1, 4, 4] },
    f: ({ q, k, v }) => g.attention(q, k, v),
  },
  { name: "upsampling", shapes: { x: [1, 2, 2, 3] }, f: ({ x }) => g.square(g.upsampleNearest(x, 2)) },
  { name: "logsumexp", shapes: { x: [3, 5] }, f: ({ x }) => g.logsumexp(x, [1]) },
  {
    name: "strided slice",
    shapes: { x: [2, 7] },
    f: ({ x }) =>
      g.square(
        g.slice(x, [
          [0, 2],
          [1, 7, 3],
        ]),
      ),
  },
];

describe("grad of jvp", () => {
  for (const { name, shapes, f } of cases)
    it(name, async () => {
      const names = Object.keys(shapes);
      const x = Object.fromEntries(names.map((n) => [n, g.input(n, shapes[n])]));
      const wrt = names.map((n) => x[n]);
      const direction = names.map((n) => g.constant(values(`${n} tangent`, g.sizeOf(shapes[n])), shapes[n]));
      const [tangent] = g.jvp([f(x)], wrt, direction);
      const weights = g.constant(values("weights", g.sizeOf(tangent.shape)), tangent.shape);
      const loss = g.sum(g.mul(tangent, weights));
      const program = await runtime.compile(
        Object.fromEntries([["loss", loss], ...g.grad(loss, wrt).map((d, i) => [names[i], d] as const)]),
      );
      const at = Object.fromEntries(names.map((n) => [n, values(n, g.sizeOf(shapes[n]))]));
      const run = async (feeds: Record<string, Float32Array>) => {
        const out = await program.run(Object.fromEntries(program.inputs.map((i) => [nameOf(i), feeds[nameOf(i)]])));
        return out;
      };
      const analytic = await run(at);
      // Directional differences in a random direction per input: float32 leaves about four digits.
      for (const n of names) {
        const d = values(`${n} probe`, at[n].length);
        const h = 4e-3;
        const moved = async (s: number) =>
          (await run({ ...at, [n]: at[n].map((v, i) => v + s * h * d[i]) })).loss.data as Float32Array;
        const numeric = ((await moved(1))[0] - (await moved(-1))[0]) / (2 * h);
        const exact = (analytic[n].data as Float32Array).reduce((s, v, i) => s + v * d[i], 0);
        expect(Math.abs(numeric - exact), `${name}, input ${n}: ${exact} against ${numeric}`).toBeLessThan(
          4e-3 * Math.max(1, Math.abs(exact)),
        );
      }
      await program.dispose();
    });

  it("leaves no session open", () => expect(runtime.open()).toBe(0));
});

const nameOf = (x: Tensor): string => (x.source.kind === "input" ? x.source.name : "");
