import type { Claim } from "../claim.ts";
import { at, nearer } from "../measured.ts";
import * as p from "../plans.ts";
import { below } from "../verdict.ts";

export const C1: Claim = {
  id: "C1",
  says: "Rectified Diffusion beats rectified flow at equal iterations from the same teacher, at 1, 2 and 25 steps.",
  caveat: "The two have the same optimum; the control starts rectified flow as it is, asked at equal SNR.",
  plans: [{ title: "C1", ...p.moons, methods: [p.RD, p.RF, p.RF_SNR], steps: [1, 2, 25] }],
  parts: ({ compared: [c] }) =>
    [1, 2, 25].map((n) =>
      below(`RD is nearer to the data than RF at ${n} steps`, at(c, p.RD.name, n), at(c, p.RF.name, n)),
    ),
  controls: ({ compared: [c] }) => [
    ...[1, 2, 25].map((n) =>
      below(`control: RD is nearer than SNR-matched RF at ${n} steps`, at(c, p.RD.name, n), at(c, p.RF_SNR.name, n)),
    ),
    nearer("control: the SNR-matched start is what helps RF at 1 step", c, p.RF_SNR.name, p.RF.name, 1),
  ],
  note: "An eps network on the vp form; with the naive start it has to learn velocities of straight paths.",
};
