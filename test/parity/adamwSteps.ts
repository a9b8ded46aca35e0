// Three AdamW steps on one batch of a golden model folder: the losses on the way and parameters at the end.
import { floatsOf } from "../../src/data/safetensors.ts";
import { constant, grad, input, mse } from "../../src/graph/index.ts";
import { collectParams, flatten, fromParts, inputVector, type Params, unflatten } from "../../src/nn/params.ts";
import { unet2dCondition } from "../../src/nn/unet2dCondition.ts";
import { adamw, adamwScalars } from "../../src/optim/adamw.ts";
import type { Runtime } from "../../src/runtime/index.ts";
import { goldenTensors, largestDifference } from "./folders.ts";
import { unetOf } from "./unetCases.ts";
import type { TrainingFile } from "./unetTraining.ts";

/** Errors of losses relative to themselves, of parameters relative to their largest value. */
export async function adamwErrors(one: TrainingFile, runtime: Runtime): Promise<Map<string, number>> {
  const { training, tensors: notes } = one.golden;
  const tensors = goldenTensors(one);
  const { config, weights } = unetOf(one);
  const { noisy_latents, noise, timesteps, encoder_hidden_states, after_three_steps } = training.tensors;
  const shapeOf = (name: string) => tensors.get(name)!.shape;
  const x = input("x", shapeOf(noisy_latents));
  const context = input("context", shapeOf(encoder_hidden_states));
  const tau = input("tau", shapeOf(timesteps));
  const network = (p: Params) => unet2dCondition(config, p, x, tau, { context });
  const spec = collectParams(network);
  const [theta, m, v] = ["theta", "m", "v"].map((name) => inputVector(name, spec));
  const loss = mse(network(fromParts(spec, theta)), input("target", shapeOf(noise)));
  const scalars = { rate: input("rate", []), decay: input("decay", []), floor: input("floor", []), scale: constant(1) };
  const options = {
    beta1: training.betas[0],
    beta2: training.betas[1],
    eps: training.eps,
    weightDecay: training.weight_decay,
  };
  const next = grad(loss, theta).map((g, i) => adamw({ theta: theta[i], m: m[i], v: v[i] }, g, scalars, options));
  const program = await runtime.compile({
    loss,
    theta: next.map((part) => part.theta),
    m: next.map((part) => part.m),
    v: next.map((part) => part.v),
  });

  const fixed = {
    x: floatsOf(tensors, noisy_latents),
    target: floatsOf(tensors, noise),
    context: floatsOf(tensors, encoder_hidden_states),
    tau: Float32Array.from(tensors.get(timesteps)!.data as BigInt64Array, Number),
  };
  const errors = new Map<string, number>();
  const start = flatten(spec, weights);
  let state: Record<"theta" | "m" | "v", Float32Array> = {
    theta: start,
    m: new Float32Array(start.length),
    v: new Float32Array(start.length),
  };
  for (let step = 1; step <= training.losses.length; step++) {
    const { rate, decay, floor } = adamwScalars(step, training.lr, options);
    const one = (value: number) => Float32Array.of(value);
    const result = await program.run({ ...fixed, ...state, rate: one(rate), decay: one(decay), floor: one(floor) });
    const wanted = training.losses[step - 1];
    errors.set(`loss ${step}`, Math.abs((result.loss.data[0] as number) - wanted) / wanted);
    if (step === training.losses.length) break;
    const [theta, m, v] = [result.theta, result.m, result.v].map(({ data }) => data as Float32Array);
    state = { theta, m, v };
  }
  await program.dispose();
  const parts = unflatten(spec, state.theta);
  for (const [name, stored] of Object.entries(after_three_steps)) {
    const difference = largestDifference(parts.get(name)!.data, floatsOf(tensors, stored));
    errors.set(stored, difference / notes[stored].max_abs);
  }
  return errors;
}
