import type { Claim } from "../claim.ts";
import { early, nearer } from "../measured.ts";
import * as p from "../plans.ts";
import { below } from "../verdict.ts";

export const C6: Claim = {
  id: "C6",
  says: "Consistency distillation after Rectified Diffusion converges faster than from the teacher.",
  caveat: "Counted from the beginning of the consistency stage; the control counts all images.",
  plans: [{ title: "C6", ...p.moons, methods: [p.RD_CD, p.CD], steps: [1, 2], curve: 8 }],
  parts: ({ compared: [c] }) => [
    below(
      "after an eighth of the budget in that stage, CD after RD is nearer at 1 step",
      early(c, "RD (CD)", 0.625, 1),
      early(c, "CD of the teacher", 0.125, 1),
    ),
    below("after a quarter of it", early(c, "RD (CD)", 0.75, 1), early(c, "CD of the teacher", 0.25, 1)),
  ],
  controls: ({ compared: [c] }) => [
    nearer("control: at equal images in all, CD after RD is nearer at 1 step", c, "RD (CD)", "CD of the teacher", 1),
  ],
  note: "Both stages have the same learning rate and schedule over their own length.",
};
