// fewstep generate: pictures from a prompt, with models of diffusers.

import { generateOptions } from "../../node/generate/options.ts";
import { generatePictures } from "../../node/generate.ts";
import { command } from "../command.ts";

export const generateCommand = command({
  name: "generate",
  summary: "Make pictures from a prompt with a Stable Diffusion model.",
  positional: ["model"],
  options: generateOptions,
  examples: [
    {
      does: "Four steps with PeRFlow's released weights:",
      line: 'generate stable-diffusion-v1-5 --delta perflow-delta.safetensors --sampler perflow --prediction diff_eps --steps 4 --prompt "a lighthouse at night" --out lighthouse.png',
    },
    {
      does: "A picture changed:",
      line: 'generate stable-diffusion-v1-5 --image photo.png --strength 0.6 --prompt "the same in winter" --out winter.png',
    },
  ],
  run: generatePictures,
});
