// Rectified Diffusion (Phased) (Wang et al. 2024, section 3.3): PeRFlow's pairs on the teacher's own curved form,
// compared at the window's end. The student keeps the teacher's prediction (eps in the paper, whose teachers predict eps).

import * as z from "zod";
import { uniformWindows, withAtoms } from "../core/index.ts";
import { windowPairs } from "../couplings/windowPairs.ts";
import { distanceOf, option, perWindow, regressing, stageOf, windowed } from "./parts.ts";
import { recipe } from "./recipe.ts";

export const rectifiedDiffusionPhased = recipe({
  name: "rectified-diffusion-phased",
  summary: "First-order inside each window: PeRFlow's pairs on the teacher's own curved path.",
  paper: {
    cite: "Wang et al. 2024, Rectified Diffusion: Straightness Is Not Your Need in Rectified Flow, section 3.3",
    url: "https://arxiv.org/abs/2410.07303",
    differs: ["times are real numbers", "labels are dropped as in PeRFlow (the published script drops none)"],
  },
  options: z.object({
    windows: option.windows(4),
    teacherSteps: option.teacherSteps(10),
    teacherSolver: option.teacherSolver(),
    guidance: option.guidance(),
    atStarts: option.share("the windows' starts, where one step per window is decided", 0),
    weight: z
      .enum(["end", "uniform"])
      .default("end")
      .describe("end: the error of the window's end, as published. uniform: of the prediction."),
    distance: option.distance("mse"),
    distanceScale: option.distanceScale(),
  }),
  ...windowed,
  *stages(teacher, o) {
    const windows = uniformWindows(o.windows);
    const { model } = teacher;
    const solves = { solver: o.teacherSolver, steps: o.teacherSteps, guidance: o.guidance };
    const player = regressing(teacher, {
      model,
      coupling: windowPairs(model, teacher.params, windows, solves),
      times: withAtoms(o.atStarts, windows.edges.slice(0, -1)),
      compare: o.weight === "end" ? (t) => model.form.at(windows.of(t).end) : undefined,
      distance: distanceOf(o),
    });
    const name = "rectified-diffusion-phased";
    yield stageOf(teacher, { name, model, players: [player], source: { data: "" }, sampler: perWindow(windows) });
  },
});
