// Consistency distillation and training (Song et al. 2023, algorithms 2 and 3): wherever it is asked on a trajectory, the
// student answers with the trajectory's end.

import * as z from "zod";
import { discrete, uniform } from "../core/index.ts";
import { independent } from "../couplings/independent.ts";
import { guided } from "../model.ts";
import { type Boundary, consistent, endOf } from "../objectives/boundary.ts";
import { consistency as consistencyLoss } from "../objectives/consistency.ts";
import { read } from "../pair.ts";
import { solve } from "../solve.ts";
import {
  distanceOf,
  evenly,
  idle,
  idleScale,
  needing,
  option,
  passes,
  smallTraining,
  stageOf,
  student,
} from "./parts.ts";
import { type Idle, recipe, STUDENT, type Stage, type Start } from "./recipe.ts";

export const consistencyOptions = {
  grid: z.int().min(2).default(40).describe("Points of the time grid; the student is compared one point apart."),
  guidance: option.guidance(),
  target: z.enum(["average", "student"]).default("average").describe("Whose answer is the target, without gradient."),
  targetDecay: z.number().min(0).lt(1).default(0.95).describe("Decay of the target's average."),
  boundary: z.enum(["jump", "edm"]).default("jump").describe("How the student becomes the identity at the data."),
  sigmaData: z.number().positive().default(0.5).describe("Standard deviation of the data, for the boundary edm."),
  distance: option.distance("pseudo-huber"),
  distanceScale: option.distanceScale(),
};
export const idleTarget = ({ target }: { readonly target: string }): Idle =>
  idle(target === "student", "with --target student", "targetDecay");
const schema = z.object({
  ...consistencyOptions,
  distill: z.boolean().default(true).describe("Follows the teacher; without, it learns from data alone."),
});

/** The student of `start` follows trajectories of `teacher`, or of the data. */
export function follow(
  start: Start,
  o: z.output<typeof schema>,
  stage: Pick<Stage, "name" | "sampler" | "share">,
): Stage {
  const { model, params, timeInput } = start;
  const { form } = model;
  const boundary: Boundary = { kind: o.boundary, sigmaData: o.sigmaData };
  const loss = consistencyLoss(endOf(model, boundary, timeInput), distanceOf(o));
  const asked = guided(model, o.guidance);
  const player = student(
    start,
    (table, draws) => {
      const t = draws.clock("t", discrete(o.grid, uniform()));
      const s = draws.clockAfter("s", t, (_, time) => Math.max(form.tMin, time - 1 / o.grid));
      const pair = independent(draws, t);
      const x = draws.note(
        "state",
        read(pair, (time) => form.at(time)),
      );
      // The teacher always knows the condition; on average over conditions its steps are the unconditional ones.
      const followed = draws.cond("full");
      const near = o.distill ? solve(asked, params, x, [t, s], followed) : read(pair, (time) => form.at(time), s);
      const target = table(STUDENT, o.target === "average" ? "target" : undefined);
      const solved = { x: draws.note("solved", near), clock: s };
      return loss(table(STUDENT), target, { x, clock: t }, solved, draws.cond("dropped"), draws);
    },
    o.target === "average" ? { averages: { target: o.targetDecay } } : {},
  );
  const { kind, sigmaData } = boundary;
  const sampled = kind === "jump" ? model : consistent(model, { kind, sigmaData }, timeInput);
  return stageOf(start, { ...stage, model: sampled, players: [player], source: { data: "" } });
}

export const consistency = recipe({
  name: "consistency",
  summary: "Wherever it is asked on a trajectory, the student answers with its end.",
  paper: {
    cite: "Song et al. 2023, Consistency Models",
    url: "https://arxiv.org/abs/2303.01469",
    differs: [
      "one DDIM step of the teacher in place of Heun's",
      "by default the boundary is a DDIM jump, which has no constant to choose; `--boundary edm` is the paper's",
      "the grid is even in t",
    ],
  },
  options: schema,
  training: { lr: 1e-4, ema: 0.99, images: 64_000 },
  small: {
    points: { ...smallTraining.points, grid: 40, targetDecay: 0.95, images: 614400 },
    images: { ...smallTraining.images, grid: 8, targetDecay: 0.9, images: 16_000 },
  },
  needs: (o) => needing("data", o.guidance !== 1 && "guidance"),
  teacherNfe: (o) => ({ perImage: o.distill ? passes(o.guidance) : 0, perPair: 0 }),
  idle: (o) => ({
    ...idleScale(o),
    ...idleTarget(o),
    ...idle(o.boundary === "jump", "with --boundary jump", "sigmaData"),
    ...idle(!o.distill, "with --no-distill", "guidance"),
  }),
  *stages(teacher, o) {
    yield follow(teacher, o, { name: "consistency", sampler: evenly([1, 2, 4], "lcm"), share: 1 });
  },
});
