// Training programs of every network family and method, small enough for a software adapter, with the operators of the
// real ones.

import { classCount } from "../../src/condition.ts";
import { eps, linear, velocity, vp } from "../../src/core/index.ts";
import type { Batch } from "../../src/draws.ts";
import { networkModel } from "../../src/model.ts";
import { initialize } from "../../src/nn/initialize.ts";
import { buildNetwork, collect, type NetworkSpec } from "../../src/nn/network.ts";
import { fold, key, normal, randint } from "../../src/random.ts";
import { diffusion } from "../../src/recipes/diffusion.ts";
import { flowMatching } from "../../src/recipes/flowMatching.ts";
import { perflow } from "../../src/recipes/perflow.ts";
import type { Stage, Start } from "../../src/recipes/recipe.ts";
import { rectifiedDiffusion } from "../../src/recipes/rectifiedDiffusion.ts";
import { startOf } from "../../src/recipes/start.ts";
import type { TrainOptions } from "../../src/run/train.ts";

export interface Training {
  readonly name: string;
  readonly stage: Stage;
  /** Weights to start from, none of them zero. */
  readonly theta: Float32Array;
  readonly data: (step: number) => Batch;
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

type Stages = (start: Start) => Generator<Stage, void, Start>;

function training(name: string, network: NetworkSpec, straight: boolean, make: Stages): Training {
  const started = start(network, straight);
  const { theta, model } = started;
  const { value: stage } = make(started).next();
  if (!stage) throw new Error(`${name} has no stage.`);
  return {
    name,
    stage,
    theta,
    data(step) {
      const seed = fold(key(11), name, step);
      const size = model.sampleShape.reduce((a, b) => a * b, batch);
      return {
        x: normal(fold(seed, "x"), size).map((v) => 0.5 * v),
        noise: normal(fold(seed, "noise"), size),
        labels: BigInt64Array.from(randint(fold(seed, "labels"), batch, classCount(model.conditions) || 1), BigInt),
      };
    },
    options: {
      batch,
      steps: 5,
      rate: schedule,
      ema: 0.99,
      clip: 1,
      dropLabels: model.conditions.labels ? 0.5 : 0,
      seed: 5,
      saveEvery: 5,
    },
  };
}

function start(network: NetworkSpec, straight: boolean): Start {
  const built = buildNetwork(network);
  const spec = collect(built);
  const theta = initialize(spec, key(3));
  const moved = normal(key(4), theta.length);
  for (let i = 0; i < theta.length; i++) theta[i] += 0.05 * moved[i];
  const timeInput = { scale: 1000, offset: 0 };
  const [form, prediction] = straight ? [linear(), velocity] : [vp(), eps];
  return startOf({ model: networkModel(built, form, prediction, timeInput), network: built, timeInput, spec, theta });
}

const mlp = { family: "mlp", config: { width: 16, depth: 2 } };
const points = { family: "mlp", config: { ...mlp.config, classes: 3 } };
const unet = { family: "unet2d", config: demo };
const dit = { family: "dit", config: transformer };
const noising: Stages = (start) => diffusion.stages(start, {}, key(0));

/** The four network families of the benchmarks. */
export const families: readonly Training[] = [
  training("mlp", mlp, false, noising),
  training("dit", dit, true, (start) => flowMatching.stages(start, { times: "uniform" }, key(0))),
  training("demo-unet", unet, false, noising),
  training("unet", { family: "unet2d", config: color }, false, noising),
];

/** What the methods of acceleration add: a teacher of constants, guidance, stored pairs, robust distances. */
export const accelerations: readonly Training[] = [
  training("perflow", points, false, (teacher) =>
    perflow.stages(
      teacher,
      perflow.options.parse({
        windows: 2,
        teacherSolver: "dpm++2m",
        teacherSteps: 2,
        guidance: 2,
        predict: "velocity",
        weight: "endpoint",
        atStarts: 0.5,
        distance: "mse",
      }),
      key(0),
    ),
  ),
  training("rectified-diffusion", points, false, (teacher) =>
    rectifiedDiffusion.stages(
      teacher,
      rectifiedDiffusion.options.parse({ atNoise: 0.5, distance: "pseudo-huber", distanceScale: 1e-3 }),
      key(0),
    ),
  ),
];
