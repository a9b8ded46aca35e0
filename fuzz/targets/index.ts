// Every parser of the product.
import type { Target } from "../target.ts";
import { configs } from "./configs.ts";
import { datasets } from "./datasets.ts";
import { pictures } from "./pictures.ts";
import { tensorFiles } from "./tensors.ts";
import { texts } from "./texts.ts";

export const targets: Readonly<Record<string, () => Promise<Target>>> = {
  ...pictures,
  ...datasets,
  ...tensorFiles,
  ...configs,
  ...texts,
};
export const parsers: readonly string[] = Object.keys(targets);
