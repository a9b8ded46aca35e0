// What `fewstep generate` takes: flags, their texts, defaults and bounds.
import * as z from "zod";
import { force } from "../sample.ts";

const count = z.int().positive();
const scale = z.number().min(-100).max(100);
const side = count.max(2 ** 14);

const prompt = z.string();

export const generateOptions = z.object({
  model: z
    .string()
    .describe("A diffusers folder of Stable Diffusion 1, 2 or XL, or a single .safetensors checkpoint (with --base)."),
  prompt: prompt.describe("What the picture shows.").meta({ value: "text", empty: true }),
  negative: prompt
    .optional()
    .describe("What it does not show; counts where --guidance is not 1.")
    .meta({ value: "text", empty: true }),
  prompt2: prompt
    .optional()
    .describe("SDXL: for the second text encoder; default the same.")
    .meta({ value: "text", empty: true }),
  negative2: prompt
    .optional()
    .describe("SDXL: for the second text encoder; default the same.")
    .meta({ value: "text", empty: true }),
  steps: count
    .max(10_000)
    .optional()
    .describe("Default: PeRFlow's number of windows, 4 for LCM and TCD, 25 for others."),
  guidance: z
    .number()
    .min(-1000)
    .max(1000)
    .optional()
    .describe("negative + g(prompt - negative); 1: none. Default: 4.5 for PeRFlow, 1 for LCM and TCD, 7.5 for others."),
  sampler: z
    .string()
    .optional()
    .describe(
      "A scheduler of diffusers (perflow, lcm, ddim, euler, ...) or a solver of fewstep (dpm++2m, unipc3, ...); default: the folder's.",
    ),
  scheduler: z
    .string()
    .optional()
    .describe("A scheduler_config.json in place of the folder's, that of a student say.")
    .meta({ value: "file" }),
  prediction: z
    .enum(["epsilon", "v_prediction", "sample", "ddim_eps", "diff_eps", "velocity"])
    .optional()
    .describe(
      "What the network predicts, where the scheduler's configuration does not say it; --sampler perflow needs it.",
    ),
  windows: count.max(1000).optional().describe("PeRFlow: time windows of the student. Default 4."),
  n: count.max(10_000).default(1).describe("Pictures; picture i has the seed + i."),
  batch: count.max(256).default(1).describe("Pictures at a time; more are faster and take more memory."),
  width: side.optional().describe("Pixels; default: what the model was made for."),
  height: side.optional().describe("Pixels; default: what the model was made for."),
  image: z.string().optional().describe("Image to image: the picture to start from.").meta({ value: "file" }),
  strength: z
    .number()
    .optional()
    .describe("Image to image: how much is made anew, above 0 to 1. Default 0.8, with --upscale 1."),
  upscale: z
    .number()
    .gt(1)
    .max(16)
    .optional()
    .describe("Enlarges --image by this factor and refines it, with a ControlNet for tiles (PeRFlow-Refiner)."),
  controlnet: z.array(z.string()).default([]).describe("Folders of ControlNets.").meta({ value: "folders" }),
  control: z
    .array(z.string())
    .default([])
    .describe("A control picture for each ControlNet, of the picture's size.")
    .meta({ value: "files" }),
  controlScale: z.array(scale).default([]).describe("Of each ControlNet; 1 where not given."),
  guess: z.boolean().default(false).describe("ControlNets say nothing to the negative half, and less to early layers."),
  t2iAdapter: z.string().optional().describe("The folder of a T2I-Adapter.").meta({ value: "folder" }),
  t2iImage: z.string().optional().describe("Its picture, of the picture's size.").meta({ value: "file" }),
  t2iScale: scale.default(1).describe("Of the T2I-Adapter."),
  ipAdapter: z.string().optional().describe("An IP-Adapter's .safetensors file.").meta({ value: "file" }),
  ipImage: z.string().optional().describe("The picture that it reads.").meta({ value: "file" }),
  ipScale: scale.default(1).describe("Of the IP-Adapter."),
  ipEncoder: z
    .string()
    .optional()
    .describe("Its CLIP vision model; default: image_encoder/ beside the file, above it or in the model.")
    .meta({ value: "folder" }),
  delta: z
    .string()
    .optional()
    .describe("Delta weights that are added when the model is loaded, with :scale behind where it is not 1.")
    .meta({ value: "file[:scale]" }),
  merge: z
    .enum(["fp32", "fp16"])
    .default("fp32")
    .describe("How the delta is added; fp16 rounds first, as PeRFlow's loader does."),
  lora: z
    .array(z.string())
    .default([])
    .describe("LoRA files that are added when the model is loaded, with :scale behind where it is not 1.")
    .meta({ value: "file[:scale],..." }),
  embedding: z
    .array(z.string())
    .default([])
    .describe("Files of textual inversions; word=file gives one another word.")
    .meta({ value: "[word=]file,..." }),
  clipSkip: z
    .int()
    .nonnegative()
    .max(64)
    .default(0)
    .describe("Layers of the text encoders left out at the end (1 is the web UIs' 2)."),
  chunks: count.max(64).default(1).describe("Sequences of 75 tokens that a prompt may have; what is longer is cut."),
  emphasis: z.boolean().default(false).describe("Reads (word), (word:1.3) and [word] in prompts as weights."),
  originalSize: z
    .string()
    .optional()
    .describe("SDXL: told size of the original, WIDTHxHEIGHT.")
    .meta({ value: "size" }),
  targetSize: z.string().optional().describe("SDXL: told size of the picture, WIDTHxHEIGHT.").meta({ value: "size" }),
  cropLeft: z
    .int()
    .nonnegative()
    .max(2 ** 14)
    .default(0)
    .describe("SDXL: told pixels cut off at the left."),
  cropTop: z
    .int()
    .nonnegative()
    .max(2 ** 14)
    .default(0)
    .describe("SDXL: told pixels cut off at the top."),
  tiling: z.boolean().default(false).describe("The VAE works in tiles that overlap: less memory."),
  vae: z.string().optional().describe("Another VAE's folder, an AutoencoderTiny say.").meta({ value: "folder" }),
  variant: z.string().optional().describe("Which weights of the folder: fp16, say."),
  base: z
    .string()
    .optional()
    .describe("For a single file: a diffusers folder of that kind, for configurations and tokenizer.")
    .meta({ value: "folder" }),
  safety: z
    .boolean()
    .default(true)
    .describe("The folder's safety checker, where it has one; --no-safety leaves it out."),
  precision: z.enum(["float32", "float16"]).default("float32").describe("Of products and convolutions."),
  out: z
    .string()
    .default("picture.png")
    .describe("The picture; of several, their grid, and each beside it with its seed in the name.")
    .meta({ value: "file" }),
  preview: z
    .string()
    .optional()
    .describe("A small picture that is written anew after every step.")
    .meta({ value: "file" }),
  save: z.string().optional().describe("Pictures, latents and noise as numbers.").meta({ value: "file" }),
  noise: z
    .string()
    .optional()
    .describe('Starts from the tensor "noise" of a .safetensors file, as --save writes it, and not from the seed.')
    .meta({ value: "file" }),
  ignoreMemory: z.boolean().default(false).describe("Tries it even where the memory will not be enough."),
  force,
});
export type GenerateOptionsGiven = z.output<typeof generateOptions>;
