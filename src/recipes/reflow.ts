// Rectified flow, k-reflow (Liu et al. 2023, section 2.2; InstaFlow, section 3.1, from a diffusion teacher): move straight
// between noise and the sample that the model makes of it, and again from the pairs of the result.

import * as z from "zod";
import { linear, uniform, velocity, withAtoms } from "../core/index.ts";
import { storedPairs } from "../couplings/storedPairs.ts";
import { inForm, networkModel } from "../model.ts";
import { straightRow } from "../pair.ts";
import {
  distanceOf,
  evenly,
  idle,
  idleScale,
  needing,
  option,
  pairsOf,
  passes,
  regressing,
  smallTraining,
  stageOf,
} from "./parts.ts";
import { type Idle, recipe, type Stage, type Start } from "./recipe.ts";

export const startOption = z
  .enum(["naive", "snr-matched"])
  .default("naive")
  .describe("naive: the network simply learns to output u. snr-matched: it stays what it is, asked at equal SNR.");

export const reflowOptions = {
  start: startOption,
  teacherSteps: option.teacherSteps(50),
  teacherSolver: option.teacherSolver(),
  guidance: option.guidance(),
  atNoise: option.share("pure noise, where one step is decided", 0.25),
  distance: option.distance("mse"),
  distanceScale: option.distanceScale(),
  pairs: option.pairs(4096),
};
const schema = z.object(reflowOptions);
type Options = z.output<typeof schema>;

/** What the network is told on straight paths, unless it stays in its own form. */
const straightTime = { scale: 1000, offset: 0 };

/** The same start on straight paths; one that is on them already is left as it is. */
export function straightened(start: Start, how: Options["start"]): Start {
  const { model, network } = start;
  if (model.form.spec.kind === "linear") return start;
  if (how === "snr-matched") return { ...start, model: inForm(model, linear()) };
  return { ...start, model: networkModel(network, linear(), velocity, straightTime), timeInput: straightTime };
}

export const idleStart = (teacher?: Start): Idle =>
  idle(teacher?.model.form.spec.kind === "linear", "with a teacher on straight paths", "start");

/** One round; `times` may pin it to pure noise. */
export function rectify(teacher: Start, o: Options, round: { readonly name: string; readonly share: number }): Stage {
  const start = straightened(teacher, o.start);
  const { model } = start;
  const player = regressing(start, {
    model,
    coupling: storedPairs(model.form, teacher.model.form),
    times: withAtoms(o.atNoise, [model.form.tMax], uniform({ from: model.form.tMin, to: model.form.tMax })),
    compare: straightRow,
    distance: distanceOf(o),
  });
  const pairs = pairsOf(teacher, o);
  return stageOf(start, { ...round, model, players: [player], source: { pairs }, sampler: evenly([1, 2, 4]) });
}

export const reflow = recipe({
  name: "reflow",
  summary: "Rectified flow: straight paths between noise and the samples made of it, in rounds.",
  paper: {
    cite: "Liu et al. 2023, Flow Straight and Fast: Learning to Generate and Transfer Data with Rectified Flow",
    url: "https://arxiv.org/abs/2209.03003",
    differs: [
      "time runs from data to noise, so u = noise − data",
      "a diffusion teacher begins as it is (`--start naive`, as in InstaFlow) or read at equal SNR (`snr-matched`)",
      "a share of the batch is at pure noise",
    ],
  },
  options: z.object({ rounds: z.int().positive().default(1).describe("Rounds of reflow."), ...reflowOptions }),
  training: { lr: 1.5e-4, ema: 0.99, images: 32_000 },
  small: {
    points: {
      ...smallTraining.points,
      start: "snr-matched",
      teacherSteps: 32,
      pairs: 16384,
      atNoise: 0.5,
      images: 409600,
    },
    images: {
      ...smallTraining.images,
      start: "snr-matched",
      teacherSteps: 20,
      pairs: 4096,
      atNoise: 0.5,
      images: 24_000,
    },
  },
  needs: (o) => needing("pairs", o.guidance !== 1 && "guidance"),
  // The pairs of later rounds are made without guidance.
  teacherNfe: (o) => ({ perImage: 0, perPair: o.teacherSteps * (passes(o.guidance) + o.rounds - 1) }),
  idle: (o, teacher) => ({ ...idleScale(o), ...idleStart(teacher) }),
  *stages(teacher, o) {
    let from = teacher;
    for (let k = 1; k <= o.rounds; k++) {
      // The guidance is in the weights after the first round.
      const round = { name: `reflow ${k} of ${o.rounds}`, share: 1 };
      from = yield rectify(from, k === 1 ? o : { ...o, guidance: 1 }, round);
    }
  },
});
