// One training step as one program: coupling, student, gradient, clipping, AdamW, EMA.

import type { BatchTensors } from "../couplings/coupling.ts";
import { asFloat32, constant, input, mean, type Outputs, vjp } from "../graph/index.ts";
import { fromParts, inputVector, type ParamSpec } from "../nn/params.ts";
import { rematerialized } from "../nn/remat.ts";
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
  /** Multiplies the loss by an input lossScale [] before it is differentiated, and the gradient by its inverse after. */
  readonly scaleLoss?: boolean;
  /** Computes the network's blocks again in the backward pass: less memory, more time. Default false. */
  readonly gradientCheckpointing?: boolean;
}

export interface StepProgram {
  readonly outputs: Outputs<StepOutput>;
  readonly times: Times;
  readonly conditional: boolean;
}
export type StepOutput = "theta" | "m" | "v" | "ema" | "loss" | "losses" | "norm";

/** Inputs: theta, m, v, ema [P]; rate, decay, floor, emaDecay []; x, noise [B, …]; labels, dropped [B]; the times' columns. */
export function stepProgram(
  plan: Plan,
  spec: readonly ParamSpec[],
  { batch, adamw: adam, clip, scaleLoss = false, gradientCheckpointing = false }: StepOptions,
): StepProgram {
  const vector = (name: string) => inputVector(name, spec);
  const scalar = (name: string) => input(name, []);
  const clock = times(batch);
  const conditional = plan.model.labelCount !== null;
  const shape = [batch, ...plan.model.sampleShape];
  const tensors: BatchTensors = {
    x: input("x", shape),
    noise: input("noise", shape),
    ...(conditional ? { labels: input("labels", [batch], "int64"), dropped: input("dropped", [batch], "int64") } : {}),
  };
  const [theta, m, v, average] = [vector("theta"), vector("m"), vector("v"), vector("ema")];
  const params = fromParts(spec, theta);
  const student = gradientCheckpointing ? rematerialized(params) : params;
  const losses = plan.objective(student, plan.coupling(tensors, clock), clock);
  const loss = mean(losses);
  const factor = scaleLoss ? scalar("lossScale") : undefined;
  const gradient = vjp([loss], [factor ?? constant(1)], theta).map(asFloat32);
  const { scale, norm } = clipByNorm(gradient, clip, factor);
  const scalars = { rate: scalar("rate"), decay: scalar("decay"), floor: scalar("floor"), scale };
  const next = gradient.map((g, i) => adamw({ theta: theta[i], m: m[i], v: v[i] }, g, scalars, adam));
  const keep = scalar("emaDecay");
  const averages = next.map((part, i) => ema(average[i], part.theta, keep));
  const outputs = {
    theta: next.map((part) => part.theta),
    m: next.map((part) => part.m),
    v: next.map((part) => part.v),
    ema: averages,
    loss,
    losses,
    norm,
  };
  return { outputs, times: clock, conditional };
}
