import type { Claim } from "../claim.ts";
import { nearer } from "../measured.ts";
import * as p from "../plans.ts";

export const C13: Claim = {
  id: "C13",
  says: "One step benefits from a little guidance at inference.",
  caveat:
    "The student learns from unguided pairs with classes. The control learns from pairs with guidance 2, as the paper's do from guidance 5, and is measured by its distance to the guided teacher's ends, since guided samples leave the data.",
  plans: [
    {
      title: "C13",
      ...p.labeled,
      methods: [1, 1.25, 1.5, 2.5].map((g) => p.named(p.RD, `RD, guidance ${g}`, { guidance: g })),
      steps: [1, 2, 25],
    },
    {
      title: "C13-guided",
      ...p.labeled,
      options: { guidance: 2 },
      methods: [1, 1.5].map((g) => p.named(p.RD, `RD of guided pairs, guidance ${g}`, { guidance: g })),
      steps: [1, 2, 25],
    },
  ],
  parts: ({ compared: [c] }) => [
    nearer("guidance 1.5 is nearer than 1 at 1 step", c, "RD, guidance 1.5", "RD, guidance 1", 1),
  ],
  controls: ({ compared: [c, guided] }) => [
    nearer(
      "control: of guided pairs, guidance 1.5 ends nearer to the guided teacher's ends than 1 at 1 step",
      guided,
      "RD of guided pairs, guidance 1.5",
      "RD of guided pairs, guidance 1",
      1,
      "endpoint",
    ),
    nearer("control: guidance 1.25 is nearer than 1 at 1 step", c, "RD, guidance 1.25", "RD, guidance 1", 1),
    nearer("control: guidance 2.5 is nearer than 1 at 1 step", c, "RD, guidance 2.5", "RD, guidance 1", 1),
    nearer("control: guidance 1.5 is nearer than 1 at 25 steps", c, "RD, guidance 1.5", "RD, guidance 1", 25),
  ],
  note: "Two moons as classes. A guided step is two network evaluations.",
};
