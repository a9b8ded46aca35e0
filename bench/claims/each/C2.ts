import type { Claim } from "../claim.ts";
import { passing } from "../measured.ts";
import * as p from "../plans.ts";
import { within } from "../verdict.ts";

export const C2: Claim = {
  id: "C2",
  says: "Rectified Diffusion converges faster: it passes rectified flow's final one-step score early.",
  caveat: "Equal learning rate; the losses are each method's own (data for RD, velocity for RF).",
  plans: [{ title: "C2", ...p.moons, methods: [p.RD, p.RF, p.RF_SNR], steps: [1], curve: 8 }],
  parts: ({ compared: [c] }) => [
    within("share of RD's training after which it is below RF's final score at 1 step", passing(c, p.RF.name), 0.5),
  ],
  controls: ({ compared: [c] }) => [within("control: the same against SNR-matched RF", passing(c, p.RF_SNR.name), 0.5)],
  note: "Shares are in eighths, the points that are kept; 2 stands for never.",
};
