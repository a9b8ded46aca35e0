// Every parser of the product.
import type { Target } from "../target.ts";
import { datasets } from "./datasets.ts";
import { pictures } from "./pictures.ts";

export const targets: Readonly<Record<string, () => Promise<Target>>> = { ...pictures, ...datasets };
export const parsers: readonly string[] = Object.keys(targets);
