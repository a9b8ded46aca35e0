// Data and noise drawn independently: diffusion and flow matching.

import { noised } from "../pair.ts";
import type { Coupling } from "./coupling.ts";

export const independent: Coupling = (draws, clock) => noised(clock, draws.data("x"), draws.normal("noise"));
