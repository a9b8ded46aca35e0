import type { Claim } from "../claim.ts";
import { at } from "../measured.ts";
import * as p from "../plans.ts";
import { below } from "../verdict.ts";

export const C3: Claim = {
  id: "C3",
  says: "Rectified Diffusion gets better with every further step: 1, 2, 25.",
  caveat: "Distances near that of the data to themselves cannot fall further.",
  plans: [{ title: "C3", ...p.moons, methods: [p.RD], steps: [1, 2, 25] }],
  parts: ({ compared: [c] }) => [
    below("2 steps are nearer than 1", at(c, "RD", 2), at(c, "RD", 1)),
    below("25 steps are nearer than 2", at(c, "RD", 25), at(c, "RD", 2)),
  ],
  controls: ({ compared: [c] }) => [
    below("control: 2 steps end nearer to the teacher's ends", at(c, "RD", 2, "endpoint"), at(c, "RD", 1, "endpoint")),
    below("control: 25 steps end nearer to them than 2", at(c, "RD", 25, "endpoint"), at(c, "RD", 2, "endpoint")),
  ],
  note: "By distance to the data; the control looks at each sample's distance to its teacher's end.",
};
