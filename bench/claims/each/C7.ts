import type { Claim } from "../claim.ts";
import { nearer } from "../measured.ts";
import * as p from "../plans.ts";

export const C7: Claim = {
  id: "C7",
  says: "RD (Phased) beats PeRFlow at 4 steps.",
  caveat:
    "The papers' systems differ in guidance, data, loss and schedule; here only path and loss differ, in all four combinations.",
  plans: [{ title: "C7", ...p.moons, methods: [p.PERFLOW, p.PERFLOW_END, p.PHASED_EPS, p.PHASED], steps: [4, 8] }],
  parts: ({ compared: [c] }) => [
    nearer("RD (Phased) is nearer than PeRFlow at 4 steps", c, "RD (Phased)", "PeRFlow", 4),
  ],
  controls: ({ compared: [c] }) => [
    nearer(
      "path alone, with the loss in eps: first order is nearer than the chord",
      c,
      "first order, eps loss",
      "PeRFlow",
      4,
    ),
    nearer("path alone, with the loss at the window's end", c, "RD (Phased)", "chord, end loss", 4),
    nearer("loss alone, on the chord: the window's end is nearer than eps", c, "chord, end loss", "PeRFlow", 4),
    nearer("loss alone, on the first-order path", c, "RD (Phased)", "first order, eps loss", 4),
    nearer("end-point to the teacher: RD (Phased) is nearer", c, "RD (Phased)", "PeRFlow", 4, "endpoint"),
  ],
  note: "Four windows, the same solves of the same teacher, mean square distances.",
};
