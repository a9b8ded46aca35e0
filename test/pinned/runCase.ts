// The one place of the pinned trainings that knows the training API: a case in, numbers out.

import { formFromSpec, predictionFromSpec } from "../../src/core/index.ts";
import { networkModel } from "../../src/model.ts";
import { buildNetwork, collect } from "../../src/nn/network.ts";
import { key } from "../../src/random.ts";
import { diffusion } from "../../src/recipes/diffusion.ts";
import { flowMatching } from "../../src/recipes/flowMatching.ts";
import { perflow } from "../../src/recipes/perflow.ts";
import type { Stage, Start } from "../../src/recipes/recipe.ts";
import { rectifiedDiffusion } from "../../src/recipes/rectifiedDiffusion.ts";
import { rectifiedDiffusionPhased } from "../../src/recipes/rectifiedDiffusionPhased.ts";
import { startOf } from "../../src/recipes/start.ts";
import { freshState, type TrainState, train } from "../../src/run/train.ts";
import type { Runtime } from "../../src/runtime/index.ts";
import type { PinnedCase, PinnedInputs, PinnedMethod, PinnedResult } from "./case.ts";

export async function runCase(
  { method, network: networkSpec, form, prediction, time: timeInput, training }: PinnedCase,
  inputs: PinnedInputs,
  runtime: Runtime,
): Promise<PinnedResult> {
  const network = buildNetwork(networkSpec);
  const spec = collect(network);
  const model = networkModel(network, formFromSpec(form), predictionFromSpec(prediction), timeInput);
  const stage = stageOf(method, startOf({ model, network, timeInput, spec, theta: inputs.teacher }));
  const { lossScale, ...options } = training;
  const [student, ...others] = stage.players;
  const fresh = freshState({ players: [{ ...student, start: inputs.start }, ...others] });
  const start = lossScale === undefined ? fresh : { ...fresh, scale: { value: lossScale, good: 0, skipped: 0 } };
  const data = (step: number) => ({
    x: inputs.x[step],
    labels: inputs.labels[step],
    ...(stage.source.pairs ? { noise: inputs.noise[step] } : {}),
  });
  const [losses, norms, rates]: number[][] = [[], [], []];
  let end: TrainState | undefined;
  for await (const event of train(stage, data, runtime, start, options)) {
    if (event.state) end = event.state;
    if (event.kind !== "step") continue;
    losses.push(event.loss);
    norms.push(event.norm);
    rates.push(event.rate);
  }
  if (!end) throw new Error("The training ended without a state.");
  const { theta, m, v, averages } = end.players.student;
  return { losses, norms, rates, theta, m, v, ema: averages.kept };
}

/** The only stage of a method. */
function stageOf({ name, options }: PinnedMethod, start: Start): Stage {
  const { distance, ...rest } = options as { distance?: { kind: string; c?: number; delta?: number } };
  const measured = distance && { distance: distance.kind, distanceScale: distance.c ?? distance.delta };
  const given = { ...rest, ...measured };
  const stages = () => {
    switch (name) {
      case "diffusion":
        return diffusion.stages(start, diffusion.options.parse(given), key(0));
      case "flow-matching":
        return flowMatching.stages(start, flowMatching.options.parse(given), key(0));
      case "perflow":
        return perflow.stages(start, perflow.options.parse(given), key(0));
      case "rectified-diffusion":
        return rectifiedDiffusion.stages(start, rectifiedDiffusion.options.parse(given), key(0));
      case "rectified-diffusion-phased":
        return rectifiedDiffusionPhased.stages(start, rectifiedDiffusionPhased.options.parse(given), key(0));
    }
  };
  const { value } = stages().next();
  if (!value) throw new Error(`${name} has no stage.`);
  return value;
}
