import type { Claim } from "../claim.ts";
import { spread } from "../measured.ts";
import * as p from "../plans.ts";
import { within } from "../verdict.ts";

export const C11: Claim = {
  id: "C11",
  says: "The form does not matter: Rectified Diffusion on vp, sub-vp, VE and linear paths gives the same ends.",
  caveat: "Exactly so for ideal predictors on matched noise levels (the control), approximately when trained.",
  extra: "matched",
  plans: [
    {
      title: "C11",
      data: "toy:moons",
      teacher: "exact:toy:moons@1024?width=0.05&form=vp&prediction=x0",
      methods: ["vp", "subvp", "ve", "linear"].map(p.onForm),
      steps: [1, 2, 25],
    },
  ],
  parts: ({ compared: [c] }) => [
    within("largest over smallest distance to the data at 1 step, over the four forms", spread(c, 1), 1.25),
  ],
  controls: ({ compared: [c], extra }) => [
    within(
      "ideal predictors on matched noise levels: largest difference of their ends",
      [extra?.apart ?? Number.NaN],
      1e-3,
    ),
    within("largest over smallest distance to the teacher's ends at 1 step", spread(c, 1, "endpoint"), 1.25),
    within("largest over smallest distance to the data at 25 steps", spread(c, 25), 1.25),
  ],
  note: "The exact teacher of 1,024 points with width 0.05; every student begins as the same fresh network and predicts the data.",
};
