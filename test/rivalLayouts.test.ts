// The benchmark runs our graphs with other engines' operators and channels last. Here "the other engine" is our own, so
// that layouts are tested without those packages: the same network must come out.

import { expect, test } from "vitest";
import { split } from "../bench/cases.ts";
import { interpret } from "../bench/rivals/interpret.ts";
import { restore, store, storedAs, type Value } from "../bench/rivals/layout.ts";
import type { Operators } from "../bench/rivals/operators.ts";
import type { Tensor } from "../src/graph/index.ts";
import * as g from "../src/graph/index.ts";
import { initialize } from "../src/nn/initialize.ts";
import { buildNetwork } from "../src/nn/network.ts";
import { collectParams, fromTensors } from "../src/nn/params.ts";
import { key, normal } from "../src/random.ts";
import { nodeRuntime } from "../src/runtime/node.ts";

function ourOperators(channelsLast: boolean): Operators<Tensor> {
  const toSecond = (x: Tensor) => (channelsLast ? g.transpose(x, [0, 3, 1, 2]) : x);
  const toLast = (x: Tensor) => (channelsLast ? g.transpose(x, [0, 2, 3, 1]) : x);
  const mean = (x: Tensor, axes: readonly number[]) => g.mean(x, axes, true);
  return {
    channelsLast,
    constant: (data, shape) => g.constant(data, shape),
    add: g.add,
    sub: g.sub,
    mul: g.mul,
    div: g.div,
    minimum: g.minimum,
    sqrt: g.sqrt,
    sin: g.sin,
    cos: g.cos,
    sigmoid: g.sigmoid,
    gelu: g.gelu,
    softmax: (x) => g.softmax(x),
    reshape: g.reshape,
    transpose: g.transpose,
    concat: g.concat,
    split: (x, sizes, axis) => [...g.split(x, sizes, axis)],
    matmul: (a, b, transA, transB) => g.matmul(a, b, { transA, transB }),
    linear: (x, w, b) => g.add(g.matmul(x, w), b),
    conv: (x, w, b, [sy, sx], [top, left, bottom, right]) =>
      toLast(
        g.conv2d(toSecond(x), channelsLast ? g.transpose(w, [3, 2, 0, 1]) : w, b ?? undefined, {
          stride: [sy, sx],
          padding: [top, left, bottom, right],
        }),
      ),
    upsampleNearest: (x, scale) => toLast(g.upsampleNearest(toSecond(x), scale)),
    normalize: (x, axes, eps) => {
      const centered = g.sub(x, mean(x, axes));
      return g.div(centered, g.sqrt(g.add(mean(g.square(centered), axes), eps)));
    },
    embedding: g.embedding,
    mean: (x) => g.mean(x),
    sum: (x) => g.sum(x),
  };
}

const unet = {
  sample_size: 8,
  in_channels: 2,
  out_channels: 2,
  block_out_channels: [8, 16],
  layers_per_block: 1,
  down_block_types: ["DownBlock2D", "AttnDownBlock2D"],
  up_block_types: ["AttnUpBlock2D", "UpBlock2D"],
  attention_head_dim: 4,
  norm_num_groups: 4,
};
const dit = { size: 4, channels: 2, width: 8, depth: 2, heads: 2, positions: "learned" };

for (const { family, config } of [
  { family: "unet2d", config: unet },
  { family: "dit", config: dit },
] as const)
  for (const channelsLast of [true, false])
    test(`${family} with the operators of another engine, channels ${channelsLast ? "last" : "second"}`, async () => {
      const net = buildNetwork({ family, config });
      const shape = [2, ...net.sampleShape];
      const x = g.input("x", shape);
      const tau = g.constant([3, 700]);
      const spec = collectParams((p) => net.apply(p, x, tau, {}));
      const theta = initialize(spec, key(1));
      const noise = normal(key(2), theta.length);
      for (let i = 0; i < theta.length; i++) theta[i] += 0.1 * noise[i];
      const y = net.apply(fromTensors(new Map(spec.map((s) => [s.name, g.input(s.name, s.shape)]))), x, tau, {});

      const layouts = storedAs(y, channelsLast);
      const given = new Map<string, { data: Float32Array; shape: readonly number[] }>(
        split(spec, theta).map(([s, data]) => [s.name, { data, shape: s.shape }]),
      );
      given.set("x", {
        data: normal(
          key(3),
          shape.reduce((a, b) => a * b),
        ),
        shape,
      });
      const feeds = new Map<string, Value<Tensor>>();
      for (const [name, { data, shape }] of given) {
        const layout = layouts.get(name) ?? "plain";
        const stored = store(data, shape, layout);
        expect(restore(stored.data, shape, layout)).toEqual(data);
        feeds.set(name, { x: g.constant(stored.data, stored.shape), layout, shape });
      }
      const other = interpret(ourOperators(channelsLast), y, feeds);
      expect(other.layout).toBe(channelsLast && family === "unet2d" ? "last" : "plain");

      const runtime = nodeRuntime({ threads: 1 });
      const expected = await run(runtime, y, Object.fromEntries([...given].map(([name, { data }]) => [name, data])));
      const got = restore(await run(runtime, other.x, {}), y.shape, other.layout);
      const off = Math.max(...got.map((v, i) => Math.abs(v - expected[i])));
      expect(off).toBeLessThan(1e-4);
      expect(Math.max(...expected.map(Math.abs))).toBeGreaterThan(0.1);
    });

async function run(runtime: ReturnType<typeof nodeRuntime>, y: Tensor, feeds: Record<string, Float32Array>) {
  const compiled = await runtime.compile({ y });
  const { y: result } = await compiled.run(feeds);
  await compiled.dispose();
  return result.data as Float32Array;
}
