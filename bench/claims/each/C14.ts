import type { Claim } from "../claim.ts";
import { nearer } from "../measured.ts";
import * as p from "../plans.ts";

export const C14: Claim = {
  id: "C14",
  says: "A Huber distance of the data, and a linear (noisier) schedule, help one step.",
  caveat: "Undocumented in the paper; tested separately.",
  plans: [
    {
      title: "C14",
      data: "toy:moons",
      teacher: "exact:toy:moons@1024?width=0.05&form=table-scaled&prediction=eps",
      methods: [
        p.onTable("scaled, eps, mse", "table-scaled", { compare: "prediction", distance: "mse" }),
        p.onTable("scaled, x0, mse", "table-scaled", { compare: "x0", distance: "mse" }),
        p.onTable("scaled, x0, huber", "table-scaled", {
          compare: "x0",
          distance: "pseudo-huber",
          "distance-scale": 1e-3,
        }),
        p.onTable("linear, x0, huber", "table-linear", {
          compare: "x0",
          distance: "pseudo-huber",
          "distance-scale": 1e-3,
        }),
      ],
      steps: [1, 2, 25],
    },
  ],
  parts: ({ compared: [c] }) => [
    nearer(
      "a Huber distance of the data is nearer than mean squares of eps, at 1 step",
      c,
      "scaled, x0, huber",
      "scaled, eps, mse",
      1,
    ),
    nearer(
      "the linear schedule is nearer than the scaled one, at 1 step",
      c,
      "linear, x0, huber",
      "scaled, x0, huber",
      1,
    ),
  ],
  controls: ({ compared: [c] }) => [
    nearer("control: space alone: data are nearer than eps, mean squares", c, "scaled, x0, mse", "scaled, eps, mse", 1),
    nearer(
      "control: distance alone: Huber is nearer than mean squares, in data",
      c,
      "scaled, x0, huber",
      "scaled, x0, mse",
      1,
    ),
  ],
  note: "Stable Diffusion's betas (0.00085 to 0.012), scaled_linear and linear, with the exact teacher and fresh students.",
};
