import type { Claim } from "../claim.ts";
import { early, nearer } from "../measured.ts";
import * as p from "../plans.ts";
import { below } from "../verdict.ts";

export const C10: Claim = {
  id: "C10",
  says: "PeRFlow's ddim_eps converges faster than diff_eps, and both faster than velocity, from a teacher that predicts eps.",
  caveat: "All have the same optimum.",
  plans: [{ title: "C10", ...p.moons, methods: [p.PERFLOW, p.DIFF_EPS, p.VELOCITY], steps: [4], curve: 8 }],
  parts: ({ compared: [c] }) => [
    below(
      "after a quarter, ddim_eps is nearer than diff_eps",
      early(c, "PeRFlow", 0.25, 4),
      early(c, "diff_eps", 0.25, 4),
    ),
    below(
      "after a quarter, diff_eps is nearer than velocity",
      early(c, "diff_eps", 0.25, 4),
      early(c, "velocity", 0.25, 4),
    ),
    below(
      "after a quarter, ddim_eps is nearer than velocity",
      early(c, "PeRFlow", 0.25, 4),
      early(c, "velocity", 0.25, 4),
    ),
  ],
  controls: ({ compared: [c] }) => [
    nearer("control: at the end, ddim_eps is nearer than diff_eps", c, "PeRFlow", "diff_eps", 4),
    nearer("control: at the end, ddim_eps is nearer than velocity", c, "PeRFlow", "velocity", 4),
  ],
  note: "PeRFlow predicts ddim_eps unless told.",
};
