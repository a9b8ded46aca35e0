// fewstep generate: pictures from a prompt, with models of diffusers.

import { generateOptions } from "../../node/generate/options.ts";
import { generatePictures } from "../../node/generate.ts";
import { command } from "../command.ts";

export const generateCommand = command({
  name: "generate",
  summary: "Make pictures from a prompt with a Stable Diffusion model.",
  positional: ["model"],
  options: generateOptions,
  run: generatePictures,
});
