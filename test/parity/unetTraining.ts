// The training case of a golden model folder: loss, gradients and their norms, all parameters in one flat vector.
import { floatsOf } from "../../src/data/safetensors.ts";
import { grad, input, mse } from "../../src/graph/index.ts";
import { collectParams, countParams, flatten, fromFlat, type Params, unflatten } from "../../src/nn/params.ts";
import { unet2dCondition } from "../../src/nn/unet2dCondition.ts";
import type { Runtime } from "../../src/runtime/index.ts";
import type { GoldenParts } from "./cases.ts";
import { type GoldenFile, goldenTensors, largestDifference } from "./folders.ts";
import { unetOf } from "./unetCases.ts";

export interface Training {
  readonly lr: number;
  readonly betas: readonly [number, number];
  readonly eps: number;
  readonly weight_decay: number;
  readonly losses: readonly number[];
  readonly grad_l2_norm: number;
  readonly grad_l2_norm_per_parameter: Readonly<Record<string, number>>;
  readonly tensors: {
    readonly noisy_latents: string;
    readonly noise: string;
    readonly timesteps: string;
    readonly encoder_hidden_states: string;
    readonly gradients: Readonly<Record<string, string>>;
    readonly after_three_steps: Readonly<Record<string, string>>;
  };
}
export type TrainingFile = GoldenFile<GoldenParts & { readonly training: Training }>;

/** Errors of loss and norms relative to themselves, of gradients relative to their largest value. */
export async function trainingErrors(one: TrainingFile, runtime: Runtime): Promise<Map<string, number>> {
  const { training, tensors: notes } = one.golden;
  const tensors = goldenTensors(one);
  const { config, weights } = unetOf(one);
  const { noisy_latents, noise, timesteps, encoder_hidden_states, gradients } = training.tensors;
  const shapeOf = (name: string) => tensors.get(name)!.shape;
  const x = input("x", shapeOf(noisy_latents));
  const target = input("target", shapeOf(noise));
  const context = input("context", shapeOf(encoder_hidden_states));
  const tau = input("tau", shapeOf(timesteps));
  const network = (p: Params) => unet2dCondition(config, p, x, tau, { context });
  const spec = collectParams(network);
  const theta = input("theta", [countParams(spec)]);
  const loss = mse(network(fromFlat(spec, theta)), target);
  const [byTheta, bySample, byContext] = grad(loss, [theta, x, context]);

  const program = await runtime.compile({ loss, byTheta, bySample, byContext });
  const result = await program.run({
    x: floatsOf(tensors, noisy_latents),
    target: floatsOf(tensors, noise),
    context: floatsOf(tensors, encoder_hidden_states),
    tau: Float32Array.from(tensors.get(timesteps)!.data as BigInt64Array, Number),
    theta: flatten(spec, weights),
  });
  await program.dispose();

  const relative = (have: number, want: number) => Math.abs(have - want) / Math.abs(want);
  const all = result.byTheta.data as Float32Array;
  const parts = unflatten(spec, all);
  const errors = new Map<string, number>([
    ["loss", relative(result.loss.data[0] as number, training.losses[0])],
    ["grad_l2_norm", relative(norm(all), training.grad_l2_norm)],
  ]);
  for (const [name, want] of Object.entries(training.grad_l2_norm_per_parameter))
    errors.set(`norm of ${name}`, relative(norm(parts.get(name)!.data), want));
  const found = new Map([
    ...Object.entries(gradients).map(([name, stored]) => [stored, parts.get(name)!.data] as const),
  ]);
  found.set("train.grad.sample", result.bySample.data as Float32Array);
  found.set("train.grad.encoder_hidden_states", result.byContext.data as Float32Array);
  for (const [stored, data] of found)
    errors.set(stored, largestDifference(data, floatsOf(tensors, stored)) / notes[stored].max_abs);
  return errors;
}

const norm = (x: Float32Array): number => Math.sqrt(x.reduce((sum, v) => sum + v * v, 0));
