// Training programs of every network family and method, small enough for a software adapter, with the operators of the
// real ones.

import { eps, linear, u, vp } from "../../src/core/index.ts";
import { networkModel } from "../../src/model.ts";
import { initialize } from "../../src/nn/initialize.ts";
import { buildNetwork, collect, type NetworkSpec } from "../../src/nn/network.ts";
import { fromConstants, type ParamSpec, unflatten } from "../../src/nn/params.ts";
import { fold, key, normal, randint } from "../../src/random.ts";
import { diffusion } from "../../src/recipes/diffusion.ts";
import { flowMatching } from "../../src/recipes/flowMatching.ts";
import { perflow } from "../../src/recipes/perflow.ts";
import type { Plan } from "../../src/recipes/plan.ts";
import { rectifiedDiffusion } from "../../src/recipes/rectifiedDiffusion.ts";
import type { TrainBatch, TrainOptions } from "../../src/run/train.ts";

export interface Training {
  readonly name: string;
  readonly plan: Plan;
  readonly spec: readonly ParamSpec[];
  /** Weights to start from, none of them zero. */
  readonly theta: Float32Array;
  readonly data: (step: number) => TrainBatch;
  readonly options: TrainOptions;
}

const batch = 2;
const schedule = { kind: "constant", peak: 2e-3, warmup: 1, final: 1 } as const;

/** The MNIST teacher's blocks: attention below, up- and downsampling, labels. */
const demo = {
  sample_size: 8,
  in_channels: 1,
  out_channels: 1,
  block_out_channels: [8, 16],
  layers_per_block: 1,
  down_block_types: ["DownBlock2D", "AttnDownBlock2D"],
  up_block_types: ["AttnUpBlock2D", "UpBlock2D"],
  attention_head_dim: 8,
  norm_num_groups: 4,
  num_class_embeds: 4,
};
const color = { ...demo, in_channels: 3, out_channels: 3, num_class_embeds: null };
const transformer = { size: 8, width: 16, depth: 2, heads: 2, positions: "learned", classes: 3 };

function training(name: string, network: NetworkSpec, make: (model: ReturnType<typeof start>) => Plan): Training {
  const started = start(network);
  const { spec, theta, model } = started;
  return {
    name,
    plan: make(started),
    spec,
    theta,
    data(step) {
      const seed = fold(key(11), name, step);
      const size = model.sampleShape.reduce((a, b) => a * b, batch);
      return {
        x: normal(fold(seed, "x"), size).map((v) => 0.5 * v),
        noise: normal(fold(seed, "noise"), size),
        labels: BigInt64Array.from(randint(fold(seed, "labels"), batch, (model.labelCount ?? 2) - 1), BigInt),
      };
    },
    options: {
      batch,
      steps: 5,
      rate: schedule,
      ema: 0.99,
      clip: 1,
      dropLabels: model.labelCount === null ? 0 : 0.5,
      seed: 5,
      saveEvery: 5,
    },
  };
}

function start(network: NetworkSpec, form = vp(), prediction = eps) {
  const built = buildNetwork(network);
  const spec = collect(built);
  const theta = initialize(spec, key(3));
  const moved = normal(key(4), theta.length);
  for (let i = 0; i < theta.length; i++) theta[i] += 0.05 * moved[i];
  return {
    spec,
    theta,
    model: networkModel(built, form, prediction, { scale: 1000, offset: 0 }),
    straight: networkModel(built, linear(), u, { scale: 1000, offset: 0 }),
    params: fromConstants(unflatten(spec, theta)),
  };
}

const mlp = { family: "mlp", config: { width: 16, depth: 2 } };
const points = { family: "mlp", config: { ...mlp.config, classes: 3 } };
const unet = { family: "unet2d", config: demo };

/** The four network families of the benchmarks. */
export const families: readonly Training[] = [
  training("mlp", mlp, ({ model }) => diffusion(model)),
  training("dit", { family: "dit", config: transformer }, ({ straight }) =>
    flowMatching(straight, { times: "uniform" }),
  ),
  training("demo-unet", unet, ({ model }) => diffusion(model)),
  training("unet", { family: "unet2d", config: color }, ({ model }) => diffusion(model)),
];

/** What the methods of acceleration add: a teacher of constants, guidance, stored pairs, robust distances. */
export const accelerations: readonly Training[] = [
  training("perflow", points, (teacher) =>
    perflow(teacher, {
      windows: 2,
      teacherSolver: "dpm++2m",
      teacherSteps: 2,
      guidance: 2,
      predict: "velocity",
      weight: "endpoint",
      atStarts: 0.5,
      distance: { kind: "mse" },
    }),
  ),
  training("rectified-diffusion", points, (teacher) =>
    rectifiedDiffusion(teacher, { atNoise: 0.5, distance: { kind: "pseudo-huber", c: 1e-3 } }),
  ),
];
