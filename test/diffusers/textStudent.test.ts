// The first layer of a time embedding that takes a shift of the time label in.
import { expect, test } from "vitest";
import { shiftedLabels } from "../../src/diffusers/textStudent.ts";
import { input, matmul } from "../../src/graph/index.ts";
import { sinusoid } from "../../src/nn/embed.ts";
import { key, normal } from "../../src/random.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { tinyUNet } from "../support/tinyDiffusion.ts";

test.each([
  [true, 0],
  [false, 1],
])("flip_sin_to_cos %s, freq_shift %i: the layer says at t what the old one said at t + by", async (flip, shift) => {
  const width = 32;
  const config = tinyUNet({ block_out_channels: [width, width], flip_sin_to_cos: flip, freq_shift: shift });
  const old = normal(key(1), width * width);
  for (const by of [-1, 2.5]) {
    const turned = await shiftedLabels(config, by).get("time_embedding.linear_1.weight")!(old);
    const runtime = nodeRuntime({ threads: 1 });
    const waves = (name: string) => sinusoid(input(name, [3]), width, { flipSinToCos: flip, freqShift: shift });
    const program = await runtime.compile({
      a: matmul(waves("t"), input("new", [width, width])),
      b: matmul(waves("s"), input("old", [width, width])),
    });
    // Rows of a weight are outputs; here they multiply from the right.
    const across = (w: Float32Array) => w.map((_, i) => w[(i % width) * width + Math.floor(i / width)]);
    const times = Float32Array.of(1, 250, 500);
    const { a, b } = await program.run({
      ...{ t: times, s: times.map((t) => t + by), new: across(turned), old: across(old) },
    });
    await program.dispose();
    const off = (a.data as Float32Array).reduce((most, v, i) => Math.max(most, Math.abs(v - (b.data[i] as number))), 0);
    // float32 angles of a few hundred are right to 3e-5.
    expect(off).toBeLessThan(1e-3);
  }
  expect(shiftedLabels(config, 0).size).toBe(0);
});
