// The noise that pictures begin with: of their seeds, or of a file that --save wrote.
import { floatsOf } from "../../data/safetensors.ts";
import { type Noise, seededNoise } from "../../diffusers/pipeline.ts";
import type { PipelineOutline } from "../../diffusers/pipelineOutline.ts";
import { readSafetensors } from "../files.ts";
import type { Inputs } from "./inputs.ts";

/** Noise of the seeds, or of a file; what a picture starts with is kept. */
export function noiseOf(
  seed: number,
  count: number,
  file: Float32Array | undefined,
  at: number,
  kept: Float32Array[],
): Noise {
  const own = seededNoise(seed, count);
  return (what, k, size) => {
    if (what !== "start" && what !== "image") return own(what, k, size);
    const each = size / count;
    const values = file ? file.subarray(at * each, at * each + size) : own(what, k, size);
    kept.push(values);
    return values;
  };
}

export async function readNoise(
  file: string,
  outline: PipelineOutline,
  { size }: Inputs,
  n: number,
): Promise<Float32Array> {
  const { tensors } = await readSafetensors(file);
  const stored = tensors.get("noise");
  if (!stored) throw new Error(`${file} has no tensor "noise", expected a file that --save wrote.`);
  const channels = outline.vae.config.latent_channels;
  const [count, c, h, w] = stored.shape;
  const factor = size.height / h;
  if (
    stored.shape.length !== 4 ||
    count < n ||
    c !== channels ||
    factor * w !== size.width ||
    !Number.isInteger(factor)
  )
    throw new Error(
      `${file} has noise of shape [${stored.shape}], expected that of ${n} pictures of ${size.width} x ${size.height} pixels with ${channels} latent channels.`,
    );
  return floatsOf(tensors, "noise");
}
