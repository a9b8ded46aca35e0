import type { Claim } from "../claim.ts";
import { at } from "../measured.ts";
import * as p from "../plans.ts";
import { below } from "../verdict.ts";

export const C9: Claim = {
  id: "C9",
  says: "LCM gets worse with more steps, PeRFlow better.",
  caveat: "PeRFlow on two of the paper's three references.",
  plans: [
    {
      title: "C9",
      ...p.moons,
      methods: [p.named(p.LCM, "LCM", { steps: [1, 4, 8] }), p.named(p.PERFLOW, "PeRFlow", { steps: [4, 8] })],
      steps: [1, 4, 8],
    },
  ],
  parts: ({ compared: [c] }) => [
    below("LCM: 4 steps are nearer than 8", at(c, "LCM", 4), at(c, "LCM", 8)),
    below("PeRFlow: 8 steps are nearer than 4", at(c, "PeRFlow", 8), at(c, "PeRFlow", 4)),
  ],
  controls: ({ compared: [c] }) => [below("control: LCM: 1 step is nearer than 8", at(c, "LCM", 1), at(c, "LCM", 8))],
  note: "LCM is sampled with noise between its steps, as in its paper.",
};
