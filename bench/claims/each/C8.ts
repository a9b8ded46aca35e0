import type { Claim } from "../claim.ts";
import { nearer } from "../measured.ts";
import * as p from "../plans.ts";

export const C8: Claim = {
  id: "C8",
  says: "PeRFlow beats InstaFlow (2-rectified flow) and LCM at 4 steps.",
  caveat: "False for COCO at 8 steps in the paper's own table.",
  plans: [{ title: "C8", ...p.moons, methods: [p.PERFLOW, p.INSTAFLOW, p.RF, p.LCM], steps: [4, 8] }],
  parts: ({ compared: [c] }) => [
    nearer("PeRFlow is nearer than InstaFlow at 4 steps", c, "PeRFlow", "InstaFlow", 4),
    nearer("PeRFlow is nearer than 2-rectified flow at 4 steps", c, "PeRFlow", p.RF.name, 4),
    nearer("PeRFlow is nearer than LCM at 4 steps", c, "PeRFlow", "LCM", 4),
  ],
  controls: ({ compared: [c] }) => [
    nearer("control: than 2-rectified flow at 8 steps", c, "PeRFlow", p.RF.name, 8),
    nearer("control: than LCM at 8 steps", c, "PeRFlow", "LCM", 8),
  ],
  note: "Equal images; the table of each claim says what the teacher was asked for.",
};
