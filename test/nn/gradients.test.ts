// Every family: gradients and tangents against finite differences, and training that lowers the loss.
import { describe, expect, it } from "vitest";
import { constant, grad, input, jvp, mse, mul, sub, sum } from "../../src/graph/index.ts";
import { initialize } from "../../src/nn/initialize.ts";
import { buildNetwork, type NetworkSpec } from "../../src/nn/network.ts";
import { key } from "../../src/random.ts";
import { normals, probe, randomTheta, runtime } from "./helpers.ts";

const families: readonly NetworkSpec[] = [
  { family: "mlp", config: { dim: 2, width: 16, depth: 2, classes: 3 } },
  { family: "mlp", config: { dim: 3, width: 8, depth: 1 } },
  { family: "dit", config: { channels: 2, size: 8, patch: 2, width: 16, depth: 2, heads: 2, classes: 4 } },
  {
    family: "dit",
    config: { channels: 1, size: [4, 8], patch: 2, width: 8, depth: 1, heads: 1, positions: "learned" },
  },
  {
    family: "unet2d",
    config: {
      in_channels: 1,
      out_channels: 1,
      sample_size: 8,
      block_out_channels: [4, 8],
      down_block_types: ["DownBlock2D", "AttnDownBlock2D"],
      up_block_types: ["AttnUpBlock2D", "UpBlock2D"],
      layers_per_block: 1,
      norm_num_groups: 2,
      attention_head_dim: 4,
      num_class_embeds: 3,
    },
  },
];

describe.each(families)("$family $config", (spec) => {
  const network = buildNetwork(spec);
  const { spec: params, theta, x, output } = probe(network, 4);
  const target = constant(normals(5, output.shape), output.shape);
  const loss = mse(output, target);

  it("has gradients and tangents that agree with finite differences", async () => {
    const direction = input("direction", theta.shape);
    const towards = input("towards", x.shape);
    const [byTheta, byX] = grad(loss, [theta, x]);
    const slope = sum(mul(byTheta, direction));
    const slopeX = sum(mul(byX, towards));
    const [tangent] = jvp([loss], [theta, x], [direction, towards]);
    const program = await runtime.compile({ loss, slope, slopeX, tangent });
    const at = randomTheta(params, 7);
    const x0 = normals(11, x.shape);
    const along = normals(13, theta.shape);
    const alongX = normals(17, x.shape);
    const run = async (h: number, hx: number) => {
      const result = await program.run({
        theta: at.map((v, i) => v + h * along[i]),
        x: x0.map((v, i) => v + hx * alongX[i]),
        direction: along,
        towards: alongX,
      });
      return Object.fromEntries(Object.entries(result).map(([name, { data }]) => [name, Number(data[0])]));
    };
    const here = await run(0, 0);
    // Richardson extrapolation of central differences: error O(h^4), and float32 noise of about 1e-7 / h.
    const difference = async (dt: number, dx: number) => {
      const central = async (h: number) =>
        ((await run(h * dt, h * dx)).loss - (await run(-h * dt, -h * dx)).loss) / (2 * h);
      return (4 * (await central(0.004)) - (await central(0.008))) / 3;
    };
    const scale = Math.max(1, Math.abs(here.slope), Math.abs(here.slopeX));
    expect(Math.abs((await difference(1, 0)) - here.slope) / scale).toBeLessThan(1e-3);
    expect(Math.abs((await difference(0, 1)) - here.slopeX) / scale).toBeLessThan(1e-3);
    expect(Math.abs(here.tangent - here.slope - here.slopeX) / scale).toBeLessThan(1e-5);
    await program.dispose();
  });

  it("learns: thirty steps of gradient descent on one batch lower the loss", async () => {
    const next = sub(theta, mul(grad(loss, [theta])[0], 0.05));
    const program = await runtime.compile({ loss, next });
    let at = initialize(params, key(1));
    const losses: number[] = [];
    for (let step = 0; step <= 30; step++) {
      const result = await program.run({ theta: at, x: normals(11, x.shape) });
      losses.push(Number(result.loss.data[0]));
      at = result.next.data as Float32Array;
    }
    await program.dispose();
    expect(losses[30]).toBeLessThan(0.95 * losses[0]);
  });
});

describe("starting values", () => {
  it.each(
    families.filter(({ family }) => family !== "unet2d"),
  )("$family $config starts at exactly zero", async (spec) => {
    const { spec: params, x, output } = probe(buildNetwork(spec), 2);
    const program = await runtime.compile({ output });
    const result = await program.run({ theta: initialize(params, key(1)), x: normals(2, x.shape) });
    await program.dispose();
    expect(Math.max(...(result.output.data as Float32Array).map(Math.abs))).toBe(0);
  });
});
