// A U-Net that is told the time on another scale.
import { describe, expect, it } from "vitest";
import { constant } from "../../src/graph/index.ts";
import { buildNetwork, collect, type Network } from "../../src/nn/network.ts";
import { flatten, fromConstants, unflatten } from "../../src/nn/params.ts";
import { retimed } from "../../src/nn/retime.ts";
import { tinyUnet } from "../support/tinyUnet.ts";
import { normals, randomTheta, runtime } from "./helpers.ts";

const LAYER = "time_embedding.linear_1.weight";
const times = Float32Array.of(0.05, 0.3, 0.55, 0.8, 1);
const table = (t: number) => 1000 * t - 1;
/** The waves of a width of 16 are √10 apart: each takes the place of the third slower one. */
const slower = (t: number) => 10 ** -1.5 * table(t);

const unet = (more: object = {}) =>
  buildNetwork({ ...tinyUnet, config: { ...tinyUnet.config, block_out_channels: [16, 16], ...more } });

async function answers(network: Network, theta: Float32Array, tau: (t: number) => number): Promise<Float32Array> {
  const p = fromConstants(unflatten(collect(network), theta));
  const x = constant(normals(1, [times.length, ...network.sampleShape]), [times.length, ...network.sampleShape]);
  const labels = constant(BigInt64Array.of(0n, 1n, 2n, 3n, 0n), [times.length]);
  const program = await runtime.compile({ y: network.apply(p, x, constant(times.map(tau)), { labels }) });
  const { y } = await program.run({});
  await program.dispose();
  return y.data as Float32Array;
}

const apart = (a: Float32Array, b: Float32Array) => Math.max(...a.map((value, i) => Math.abs(value - b[i])));

/** Weights of which those that see the fastest `count` waves are `scale` times what they were. */
function quiet(network: Network, count: number, scale: number): Float32Array {
  const spec = collect(network);
  const arrays = unflatten(spec, randomTheta(spec, 2));
  const weight = arrays.get(LAYER)?.data as Float32Array;
  const fast = (i: number) => i % 8 < count;
  weight.forEach((value, k) => {
    if (fast(k % 16)) weight[k] = value * scale;
  });
  return flatten(spec, arrays);
}

describe("the refitted first layer", () => {
  it.each([
    true,
    false,
  ])("answers as before where the slower waves are all it looks at (cos first: %s)", async (flip) => {
    const network = unet({ flip_sin_to_cos: flip });
    const spec = collect(network);
    const theta = quiet(network, 3, 0);
    const before = await answers(network, theta, table);
    expect(apart(before, await answers(network, theta, slower))).toBeGreaterThan(0.1);
    expect(apart(before, await answers(network, retimed(network, spec, theta, table, slower), slower))).toBeLessThan(
      0.02,
    );
  });

  it("changes nothing but that layer", () => {
    const network = unet();
    const spec = collect(network);
    const theta = quiet(network, 3, 1);
    const [was, is] = [theta, retimed(network, spec, theta, table, slower)].map((v) => unflatten(spec, v));
    const changed = spec.map(({ name }) => name).filter((name) => apart(was.get(name)!.data, is.get(name)!.data) > 0);
    expect(changed).toEqual([LAYER, "time_embedding.linear_1.bias"]);
  });

  it("is left alone where the time is seen in another way", () => {
    const mlp = buildNetwork({ family: "mlp", config: { width: 16 } });
    const learned = unet({ time_embedding_type: "learned", num_train_timesteps: 1000 });
    for (const network of [mlp, learned]) {
      const spec = collect(network);
      const theta = randomTheta(spec, 2);
      expect(retimed(network, spec, theta, table, slower)).toBe(theta);
    }
  });
});
