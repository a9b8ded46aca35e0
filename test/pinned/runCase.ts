// The one place of the pinned trainings that knows the training API: a case in, numbers out.

import { formFromSpec, predictionFromSpec } from "../../src/core/index.ts";
import { networkModel } from "../../src/model.ts";
import { buildNetwork, collect } from "../../src/nn/network.ts";
import { fromConstants, unflatten } from "../../src/nn/params.ts";
import { diffusion } from "../../src/recipes/diffusion.ts";
import { type FlowMatchingOptions, flowMatching } from "../../src/recipes/flowMatching.ts";
import { type PerflowOptions, perflow } from "../../src/recipes/perflow.ts";
import type { Plan, Teacher } from "../../src/recipes/plan.ts";
import { type RectifiedDiffusionOptions, rectifiedDiffusion } from "../../src/recipes/rectifiedDiffusion.ts";
import { type PhasedOptions, rectifiedDiffusionPhased } from "../../src/recipes/rectifiedDiffusionPhased.ts";
import { freshState, type TrainState, train } from "../../src/run/train.ts";
import type { Runtime } from "../../src/runtime/index.ts";
import type { PinnedCase, PinnedInputs, PinnedMethod, PinnedResult } from "./case.ts";

export async function runCase(
  { method, network, form, prediction, time, training }: PinnedCase,
  inputs: PinnedInputs,
  runtime: Runtime,
): Promise<PinnedResult> {
  const built = buildNetwork(network);
  const spec = collect(built);
  const model = networkModel(built, formFromSpec(form), predictionFromSpec(prediction), time);
  const plan = planOf(method, { model, params: fromConstants(unflatten(spec, inputs.teacher)) });
  const { lossScale, ...options } = training;
  const fresh = freshState(inputs.start);
  const start = lossScale === undefined ? fresh : { ...fresh, scale: { value: lossScale, good: 0, skipped: 0 } };
  const data = (step: number) => ({
    x: inputs.x[step],
    labels: inputs.labels[step],
    ...(plan.source === "pairs" ? { noise: inputs.noise[step] } : {}),
  });
  const [losses, norms, rates]: number[][] = [[], [], []];
  let end: TrainState | undefined;
  for await (const event of train(plan, spec, data, runtime, start, { ...options, saveEvery: training.steps })) {
    if (event.state) end = event.state;
    if (event.kind !== "step") continue;
    losses.push(event.loss);
    norms.push(event.norm);
    rates.push(event.rate);
  }
  if (!end) throw new Error("The training ended without a state.");
  const { theta, m, v, ema } = end;
  return { losses, norms, rates, theta, m, v, ema };
}

function planOf({ name, options }: PinnedMethod, teacher: Teacher): Plan {
  // The files are this repository's own; a wrong option shows as a wrong number.
  const o: unknown = options;
  switch (name) {
    case "diffusion":
      return diffusion(teacher.model);
    case "flow-matching":
      return flowMatching(teacher.model, o as FlowMatchingOptions);
    case "perflow":
      return perflow(teacher, o as PerflowOptions);
    case "rectified-diffusion":
      return rectifiedDiffusion(teacher, o as RectifiedDiffusionOptions);
    case "rectified-diffusion-phased":
      return rectifiedDiffusionPhased(teacher, o as PhasedOptions);
  }
}
