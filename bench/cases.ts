// What is measured: networks, their weights and inputs, and the symbolic program of each phase.

import { readFileSync } from "node:fs";
import { readSafetensors } from "../src/data/safetensors.ts";
import { asFloat32, constant, input, mse, mul, type Outputs, type Tensor, vjp } from "../src/graph/index.ts";
import { initialize } from "../src/nn/initialize.ts";
import { buildNetwork } from "../src/nn/network.ts";
import {
  collectParams,
  flatten,
  fromParts,
  fromTensors,
  inputVector,
  type ParamSpec,
  type Params,
} from "../src/nn/params.ts";
import { rematerialized } from "../src/nn/remat.ts";
import { unet2dCondition } from "../src/nn/unet2dCondition.ts";
import { readUNet2DConditionConfig } from "../src/nn/unet2dConditionConfig.ts";
import { toParams } from "../src/nn/weights.ts";
import { adamw, adamwDefaults } from "../src/optim/adamw.ts";
import { clipByNorm } from "../src/optim/clip.ts";
import { ema } from "../src/optim/ema.ts";
import { fold, key, normal, randint, uniform } from "../src/random.ts";

export const phases = ["forward", "forward+backward", "step"] as const;
export type Phase = (typeof phases)[number];
export const caseNames = ["demo-unet", "unet", "dit", "mlp", "sd-unet", "tiny-sd-unet"] as const;
export type CaseName = (typeof caseNames)[number];

export const isCase = (name: string): name is CaseName => (caseNames as readonly string[]).includes(name);

/** A feed and its shape. */
export interface Given {
  readonly shape: readonly number[];
  readonly data: Float32Array | BigInt64Array;
}

export interface Case {
  readonly name: CaseName;
  readonly family: "mlp" | "dit" | "unet2d" | "unet2dCondition";
  /** With all defaults filled in, for both sides. */
  readonly config: unknown;
  readonly phases: readonly Phase[];
  readonly spec: readonly ParamSpec[];
  /** Weights stay graph inputs in the forward pass too: a model file is limited to 2 GB. */
  readonly large: boolean;
  apply(p: Params, inputs: Readonly<Record<string, Tensor>>): Tensor;
  /** The flat parameter vector. */
  weights(): Float32Array;
  /** x, tau, target and what else the network takes. */
  inputs(): Record<string, Given>;
}

const teacher = new URL("../assets/mnist-teacher/unet/", import.meta.url);
const json = (name: string): unknown => JSON.parse(readFileSync(new URL(name, teacher), "utf8"));

/** The cases; seeds are fixed, so every run compares the same numbers. `batch` in place of the case's own. */
export function openCase(name: CaseName, batch?: number): Case {
  switch (name) {
    case "demo-unet":
      return network(name, "unet2d", json("config.json"), batch ?? 64, (spec) =>
        flatten(
          spec,
          toParams(readSafetensors(readFileSync(new URL("diffusion_pytorch_model.safetensors", teacher))).tensors),
        ),
      );
    case "unet":
      return network(name, "unet2d", unet, batch ?? 16);
    case "dit":
      return network(name, "dit", { size: 16, width: 256, depth: 12, heads: 4, positions: "learned" }, batch ?? 32);
    case "mlp":
      return network(name, "mlp", {}, batch ?? 1024);
    case "sd-unet":
      return stableDiffusion(name, { cross_attention_dim: 768 }, batch ?? 1, ["forward"]);
    case "tiny-sd-unet":
      return stableDiffusion(name, tinySd, batch ?? 2, ["forward+backward", "step"]);
  }
}

const unet = {
  sample_size: 32,
  block_out_channels: [64, 64, 64, 64],
  layers_per_block: 1,
  down_block_types: ["DownBlock2D", "DownBlock2D", "AttnDownBlock2D", "DownBlock2D"],
  up_block_types: ["UpBlock2D", "AttnUpBlock2D", "UpBlock2D", "UpBlock2D"],
  attention_head_dim: 32,
  norm_num_groups: 32,
};

function network(
  name: CaseName,
  family: "mlp" | "dit" | "unet2d",
  config: unknown,
  batch: number,
  weights: (spec: readonly ParamSpec[]) => Float32Array = (spec) => random(spec),
): Case {
  const net = buildNetwork({ family, config });
  const apply: Case["apply"] = (p, i) => net.apply(p, i.x, i.tau, i.labels ? { labels: i.labels } : {});
  const rows = net.conditions.labels?.rows;
  const inputs = () => {
    const seed = fold(key(1), name);
    const shape = [batch, ...net.sampleShape];
    return {
      x: gaussian(seed, "x", shape),
      tau: times(seed, batch),
      target: gaussian(seed, "target", shape),
      ...(rows === undefined ? {} : { labels: labels(seed, batch, rows) }),
    };
  };
  const symbols = symbolic(inputs());
  const spec = collectParams((p) => apply(p, symbols));
  return {
    name,
    family,
    config: net.config,
    phases,
    spec,
    large: false,
    apply,
    weights: () => weights(spec),
    inputs,
  };
}

/** diffusers' tiny Stable Diffusion 1.5 for tests; with 64 x 64 latents its attention over 4096 pixels is what counts. */
const tinySd = {
  block_out_channels: [32, 64],
  down_block_types: ["CrossAttnDownBlock2D", "DownBlock2D"],
  up_block_types: ["UpBlock2D", "CrossAttnUpBlock2D"],
  cross_attention_dim: 32,
  attention_head_dim: 8,
  norm_num_groups: 8,
};

function stableDiffusion(name: CaseName, given: object, batch: number, phasesOf: readonly Phase[]): Case {
  const config = readUNet2DConditionConfig(given);
  const apply: Case["apply"] = (p, i) => unet2dCondition(config, p, i.x, i.tau, { context: i.context });
  const inputs = () => {
    const seed = fold(key(1), "sd-unet");
    const shape = [batch, 4, 64, 64];
    return {
      x: gaussian(seed, "x", shape),
      tau: times(seed, batch),
      context: gaussian(seed, "context", [batch, 77, config.cross_attention_dim]),
      ...(phasesOf.includes("step") ? { target: gaussian(seed, "target", shape) } : {}),
    };
  };
  const symbols = symbolic(inputs());
  const spec = collectParams((p) => apply(p, symbols));
  return {
    name,
    family: "unet2dCondition",
    config,
    phases: phasesOf,
    spec,
    large: name === "sd-unet",
    apply,
    weights: () => initialize(spec, key(2)),
    inputs,
  };
}

/** Starting values, moved off their zeros: a zero weight would hide an error behind it. */
function random(spec: readonly ParamSpec[]): Float32Array {
  const theta = initialize(spec, key(2));
  const noise = normal(key(3), theta.length);
  for (let i = 0; i < theta.length; i++) theta[i] += 0.02 * noise[i];
  return theta;
}

const gaussian = (seed: ReturnType<typeof key>, what: string, shape: readonly number[]): Given => ({
  shape,
  data: normal(
    fold(seed, what),
    shape.reduce((a, b) => a * b, 1),
  ),
});
const times = (seed: ReturnType<typeof key>, batch: number): Given => ({
  shape: [batch],
  data: Float32Array.from(uniform(fold(seed, "tau"), batch), (u) => Math.floor(1000 * u)),
});
const labels = (seed: ReturnType<typeof key>, batch: number, count: number): Given => ({
  shape: [batch],
  data: BigInt64Array.from(randint(fold(seed, "labels"), batch, count), BigInt),
});

/** Images in a batch of the case. */
export const batchOf = (c: Case): number => c.inputs().x.shape[0];

/** The case on the first `batch` of its inputs. */
export function withBatch(c: Case, batch: number): Case {
  const first = ({ shape: [n, ...rest], data }: Given): Given => ({
    shape: [batch, ...rest],
    data: data.slice(0, (data.length / n) * batch),
  });
  return {
    ...c,
    inputs: () => Object.fromEntries(Object.entries(c.inputs()).map(([name, given]) => [name, first(given)])),
  };
}

const symbolic = (given: Readonly<Record<string, Given>>): Record<string, Tensor> =>
  Object.fromEntries(
    Object.entries(given).map(([name, { shape, data }]) => [
      name,
      input(name, shape, data instanceof Float32Array ? "float32" : "int64"),
    ]),
  );

export interface ProgramOptions {
  /** With gradient checkpointing. */
  readonly remat?: boolean;
  /** The loss is multiplied by this before it is differentiated, and the gradient divided by it. */
  readonly lossScale?: number;
}

/** The program of a phase. `theta` is needed for its constants. */
export function program(
  c: Case,
  phase: Phase,
  theta: Float32Array,
  { remat = false, lossScale = 1 }: ProgramOptions = {},
): Outputs {
  const i = symbolic(c.inputs());
  if (phase === "forward")
    return {
      y: c.apply(
        c.large
          ? fromTensors(new Map(c.spec.map((s) => [s.name, input(s.name, s.shape)])))
          : fromTensors(new Map(split(c.spec, theta).map(([s, data]) => [s.name, constant(data, s.shape)]))),
        i,
      ),
    };
  const vector = (name: string) => inputVector(name, c.spec);
  const weights = vector("theta");
  const params = fromParts(c.spec, weights);
  const loss = mse(c.apply(remat ? rematerialized(params) : params, i), i.target);
  const scaled = vjp([loss], [constant(lossScale)], weights).map(asFloat32);
  if (phase === "forward+backward")
    return { loss, gradient: lossScale === 1 ? scaled : scaled.map((g) => mul(g, 1 / lossScale)) };
  const { scale, norm } = clipByNorm(scaled, 1, lossScale === 1 ? undefined : constant(lossScale));
  const scalars = { rate: input("rate", []), decay: input("decay", []), floor: input("floor", []), scale };
  const [m, v, average, keep] = [vector("m"), vector("v"), vector("ema"), input("emaDecay", [])];
  const next = scaled.map((g, k) => adamw({ theta: weights[k], m: m[k], v: v[k] }, g, scalars, adamwDefaults));
  return {
    theta: next.map((part) => part.theta),
    m: next.map((part) => part.m),
    v: next.map((part) => part.v),
    ema: next.map((part, k) => ema(average[k], part.theta, keep)),
    loss,
    norm,
  };
}

/** The flat vector in pieces: views, not copies. */
export function split(spec: readonly ParamSpec[], theta: Float32Array): [ParamSpec, Float32Array][] {
  let at = 0;
  return spec.map((s) => {
    const size = s.shape.reduce((a, b) => a * b, 1);
    at += size;
    return [s, theta.subarray(at - size, at)];
  });
}
