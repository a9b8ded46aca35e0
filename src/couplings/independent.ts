// Data and noise drawn independently: diffusion and flow matching.

import { dataRow, noiseRow } from "../pair.ts";
import type { Coupling } from "./coupling.ts";

export const independent: Coupling = ({ x, noise, dropped }, clock) => ({
  pair: { clock, a: x, rowA: dataRow, b: noise, rowB: noiseRow },
  labels: dropped,
});
