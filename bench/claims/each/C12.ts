import type { Claim } from "../claim.ts";
import { at, oneOf, ratios } from "../measured.ts";
import * as p from "../plans.ts";
import { below, within } from "../verdict.ts";

export const C12: Claim = {
  id: "C12",
  says: "Retraining on pairs is the key: shuffled pairs, with the same marginals, do not help.",
  caveat: "The ablation permutes the noise among the teacher's pairs.",
  extra: "shuffled",
  plans: [{ title: "C12", ...p.moons, methods: [p.RD], steps: [1, 2, 25] }],
  parts: ({ compared: [c, ...shuffled] }) => {
    const others = (n: number) => shuffled.map((one) => oneOf(one, "RD, shuffled pairs", n));
    const gained = (x: readonly number[]) => x.map((v, i) => Math.log(at(c, "teacher", 1)[i] / v));
    const [real, none] = [gained(at(c, "RD", 1)), gained(others(1))];
    return [
      below("RD on the teacher's pairs is nearer than on shuffled ones at 1 step", at(c, "RD", 1), others(1)),
      within("share of RD's gain at 1 step (in logarithms) that shuffled pairs have", ratios(none, real), 0.1),
    ];
  },
  controls: ({ compared: [c, ...shuffled] }) => [
    below(
      "control: RD on shuffled pairs is no further from the data than the teacher at 25 steps",
      shuffled.map((one) => oneOf(one, "RD, shuffled pairs", 25)),
      at(c, "teacher", 25),
    ),
  ],
  note: "Everything else is the same: teacher, samples, noise, order of batches.",
};
