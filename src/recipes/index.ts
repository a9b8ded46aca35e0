// All recipes.
export { diffusion } from "./diffusion.ts";
export { type FlowMatchingOptions, flowMatching } from "./flowMatching.ts";
export { type PerflowOptions, perflow } from "./perflow.ts";
export type { NetModel, Plan, Teacher } from "./plan.ts";
export { type RectifiedDiffusionOptions, rectifiedDiffusion } from "./rectifiedDiffusion.ts";
export { type PhasedOptions, rectifiedDiffusionPhased } from "./rectifiedDiffusionPhased.ts";
