// Every parser of the product.
import type { Target } from "../target.ts";
import { adapters } from "./adapters.ts";
import { archives } from "./archives.ts";
import { configs } from "./configs.ts";
import { datasets } from "./datasets.ts";
import { pictures } from "./pictures.ts";
import { safetensorsFiles } from "./safetensors.ts";
import { samplers } from "./schedulers.ts";
import { texts } from "./texts.ts";
import { torchFiles } from "./torch.ts";

export const targets: Readonly<Record<string, () => Promise<Target>>> = {
  ...pictures,
  ...datasets,
  ...archives,
  ...safetensorsFiles,
  ...torchFiles,
  ...adapters,
  ...configs,
  ...samplers,
  ...texts,
};
export const parsers: readonly string[] = Object.keys(targets);
