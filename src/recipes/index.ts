// All recipes. To add one, write its file and its line in `recipes`: flags, help, cards and docs follow.
import { adversarial } from "./adversarial.ts";
import { consistency } from "./consistency.ts";
import { dmd } from "./dmd.ts";
import { instaflow } from "./instaflow.ts";
import { lcm } from "./lcm.ts";
import { meanflow } from "./meanflow.ts";
import { perflow } from "./perflow.ts";
import { progressive } from "./progressive.ts";
import { rectifiedDiffusion } from "./rectifiedDiffusion.ts";
import { rectifiedDiffusionCd } from "./rectifiedDiffusionCd.ts";
import { rectifiedDiffusionPhased } from "./rectifiedDiffusionPhased.ts";
import { reflow } from "./reflow.ts";
import { scm } from "./scm.ts";
import { swiftbrush } from "./swiftbrush.ts";

export { diffusion } from "./diffusion.ts";
export { flowMatching } from "./flowMatching.ts";
export type { NetModel, Player, Recipe, Stage, Start, Table, Teacher } from "./recipe.ts";
export {
  adversarial,
  consistency,
  dmd,
  instaflow,
  lcm,
  meanflow,
  perflow,
  progressive,
  rectifiedDiffusion,
  rectifiedDiffusionCd,
  rectifiedDiffusionPhased,
  reflow,
  scm,
  swiftbrush,
};

/** What `fewstep accelerate` can do. */
export const recipes = [
  perflow,
  rectifiedDiffusion,
  rectifiedDiffusionPhased,
  rectifiedDiffusionCd,
  reflow,
  instaflow,
  consistency,
  lcm,
  progressive,
  dmd,
  swiftbrush,
  adversarial,
  meanflow,
  scm,
] as const;
