import type { Claim } from "../claim.ts";
import { at, nearer } from "../measured.ts";
import * as p from "../plans.ts";
import { below } from "../verdict.ts";

export const C5: Claim = {
  id: "C5",
  says: "RD (CD) improves one step over RD and stays monotone; naive one-step distillation breaks for more steps.",
  caveat: "The distilled network is trained at pure noise only.",
  plans: [{ title: "C5", ...p.moons, methods: [p.RD, p.RD_CD, p.INSTAFLOW], steps: [1, 2, 4] }],
  parts: ({ compared: [c] }) => [
    nearer("RD (CD) is nearer than RD at 1 step", c, "RD (CD)", "RD", 1),
    below("RD (CD): 2 steps are nearer than 1", at(c, "RD (CD)", 2), at(c, "RD (CD)", 1)),
    below("RD (CD): 4 steps are nearer than 2", at(c, "RD (CD)", 4), at(c, "RD (CD)", 2)),
    below("InstaFlow: 1 step is nearer than 4", at(c, "InstaFlow", 1), at(c, "InstaFlow", 4)),
  ],
  controls: ({ compared: [c] }) => [
    nearer("control: RD (CD) is nearer than InstaFlow at 1 step", c, "RD (CD)", "InstaFlow", 1),
  ],
  note: "Equal images in all, so that half of RD (CD)'s go to its second stage.",
};
