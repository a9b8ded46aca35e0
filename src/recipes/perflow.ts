// PeRFlow (Yan et al. 2024, algorithm 1): solve the teacher inside each window from noised data, move straight between
// the two ends. The path is the chord of the teacher's form, so the student is an ordinary model on that form.

import * as z from "zod";
import { chord, diffEps, eps, uniformWindows, velocity, withAtoms } from "../core/index.ts";
import { transfer } from "../core/row.ts";
import { windowPairs } from "../couplings/windowPairs.ts";
import { blindAtNoise, distanceOf, option, perWindow, regressing, stageOf, windowed } from "./parts.ts";
import { recipe, type Teacher } from "./recipe.ts";

const predictions = { ddim_eps: eps, diff_eps: diffEps, velocity };

/** What a teacher's network is closest to. */
const inherited = ({ model: { form, prediction } }: Teacher): keyof typeof predictions =>
  prediction.name === "u" || blindAtNoise(form) ? "velocity" : "ddim_eps";

export const perflow = recipe({
  name: "perflow",
  summary: "Piecewise rectified flow: straight inside each window of the teacher's trajectory.",
  paper: {
    cite: "Yan et al. 2024, PeRFlow: Piecewise Rectified Flow as Universal Plug-and-Play Accelerator",
    url: "https://arxiv.org/abs/2405.07510",
    differs: [
      "times are real numbers, so a window's solve has no rounded indices",
      "the student is told the teacher's own time label (the published one is off by one index)",
      "`--weight endpoint`, `--weight end` and `--at-starts` are ours",
    ],
  },
  options: z.object({
    windows: option.windows(4),
    teacherSteps: option.teacherSteps(8),
    teacherSolver: option.teacherSolver(),
    // 1 is the paper's "sync", others its "fixed".
    guidance: option.guidance(),
    predict: z
      .enum(["ddim_eps", "diff_eps", "velocity"])
      .optional()
      .describe("What the student predicts; default the closest to the teacher."),
    weight: z
      .enum(["uniform", "endpoint", "end"])
      .default("uniform")
      .describe(
        "uniform: of the prediction, as published. endpoint: the squared error of the window's end as data, x/alpha. end: of the window's end as it is.",
      ),
    atStarts: option.share("the windows' starts, where one step per window is decided", 0),
    distance: option.distance("mse"),
    distanceScale: option.distanceScale(),
  }),
  ...windowed,
  small: { ...windowed.small, images: { ...windowed.small.images, weight: "endpoint" } },
  resolve: (teacher, o) => ({ ...o, predict: o.predict ?? inherited(teacher) }),
  *stages(teacher, o) {
    const windows = uniformWindows(o.windows);
    const form = chord(teacher.model.form, windows);
    const model = { ...teacher.model, form, prediction: predictions[o.predict ?? inherited(teacher)] };
    // How far an error of the prediction moves the window's end, measured there as data (x/alpha): what the next window
    // starts from. An error of eps in the first window counts a hundred times more than in the last.
    const slope = (t: number): number => {
      const end = form.at(windows.of(t).end);
      return transfer(form.at(t), model.prediction.row(form, t), end)[1] / (o.weight === "endpoint" ? end[0] : 1);
    };
    const solves = { solver: o.teacherSolver, steps: o.teacherSteps, guidance: o.guidance };
    const player = regressing(teacher, {
      model,
      coupling: windowPairs(teacher.model, teacher.params, windows, solves),
      times: withAtoms(o.atStarts, windows.edges.slice(0, -1)),
      distance: distanceOf(o),
      weight: o.weight === "uniform" ? undefined : (t) => slope(t) ** 2,
    });
    const sampler = perWindow(windows);
    yield stageOf(teacher, { name: "perflow", model, players: [player], source: { data: "" }, sampler });
  },
});
