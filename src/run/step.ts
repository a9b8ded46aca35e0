// One training step as one program: coupling, student, gradient, clipping, AdamW, EMA.

import type { BatchTensors } from "../couplings/coupling.ts";
import { grad, input, mean, type Tensor } from "../graph/index.ts";
import { countParams, fromFlat, type ParamSpec } from "../nn/params.ts";
import { type AdamWOptions, adamw } from "../optim/adamw.ts";
import { clipByNorm } from "../optim/clip.ts";
import { ema } from "../optim/ema.ts";
import { type Times, times } from "../pair.ts";
import type { Plan } from "../recipes/plan.ts";

export interface StepOptions {
  readonly batch: number;
  readonly adamw: AdamWOptions;
  /** Largest norm of the gradient. */
  readonly clip: number;
}

export interface StepProgram {
  readonly outputs: Readonly<Record<StepOutput, Tensor>>;
  readonly times: Times;
  readonly conditional: boolean;
}
export type StepOutput = "theta" | "m" | "v" | "ema" | "loss" | "losses" | "norm";

/** Inputs: theta, m, v, ema [P]; rate, decay, floor, emaDecay []; x, noise [B, …]; labels, dropped [B]; the times' columns. */
export function stepProgram(
  plan: Plan,
  spec: readonly ParamSpec[],
  { batch, adamw: adam, clip }: StepOptions,
): StepProgram {
  const size = countParams(spec);
  const vector = (name: string) => input(name, [size]);
  const scalar = (name: string) => input(name, []);
  const clock = times(batch);
  const conditional = plan.model.labelCount !== null;
  const shape = [batch, ...plan.model.sampleShape];
  const tensors: BatchTensors = {
    x: input("x", shape),
    noise: input("noise", shape),
    ...(conditional ? { labels: input("labels", [batch], "int64"), dropped: input("dropped", [batch], "int64") } : {}),
  };
  const theta = vector("theta");
  const losses = plan.objective(fromFlat(spec, theta), plan.coupling(tensors, clock), clock);
  const loss = mean(losses);
  const { clipped, norm } = clipByNorm(grad(loss, [theta])[0], clip);
  const next = adamw(
    { theta, m: vector("m"), v: vector("v") },
    clipped,
    { rate: scalar("rate"), decay: scalar("decay"), floor: scalar("floor") },
    adam,
  );
  const average = ema(vector("ema"), next.theta, scalar("emaDecay"));
  return { outputs: { ...next, ema: average, loss, losses, norm }, times: clock, conditional };
}
