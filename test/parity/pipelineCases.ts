// The complete runs of a golden file: latents after every step, and the picture.
import { join } from "node:path";
import { expect } from "vitest";
import { floatsOf } from "../../src/data/safetensors.ts";
import { type GenerateOptions, type Noise, pipeline } from "../../src/diffusers/pipeline.ts";
import type { PipelineParts, TextPart } from "../../src/diffusers/pipelineParts.ts";
import { createScheduler } from "../../src/diffusers/schedulers/index.ts";
import { fromConstants } from "../../src/nn/params.ts";
import type { Runtime } from "../../src/runtime/index.ts";
import type { GoldenParts } from "./cases.ts";
import { baseOf, type GoldenFile, goldenTensors, largestDifference, readJson } from "./folders.ts";
import { textEncoderIn } from "./textCases.ts";
import { tokenizerIn } from "./tokenizerCases.ts";
import { type UNet, unetOf } from "./unetCases.ts";
import { vaeIn } from "./vaeCases.ts";

export interface PipelineCase {
  readonly scheduler: string;
  readonly scheduler_config: Readonly<Record<string, unknown>>;
  readonly steps: number;
  readonly guidance_scale: number;
  readonly prompt: string;
  readonly negative_prompt: string | null;
  readonly init_noise_sigma: number;
  readonly scheduler_timesteps: readonly number[];
  readonly kind: "text2img" | "img2img";
  readonly latent_shape: readonly [number, number, number, number];
  readonly strength?: number;
  readonly kept_timesteps?: readonly number[];
  readonly time_ids?: readonly number[];
  readonly negative_time_ids?: readonly number[];
  readonly tensors: {
    readonly init_latents?: string;
    readonly trajectory: string;
    readonly latents: string;
    readonly image?: string;
    readonly noise?: string;
    readonly source_image?: string;
    readonly posterior_noise?: string;
    readonly start_latents?: string;
  };
}

/** The parts of a golden model folder, with another U-Net where an add-on brings parameters of its own. */
export function partsOf(
  one: GoldenFile<GoldenParts>,
  components: readonly string[],
  unet: UNet = unetOf(one),
): PipelineParts {
  const folder = baseOf(one);
  const text = components.map((component): TextPart => {
    const { config, weights } = textEncoderIn(folder, component);
    return {
      config,
      params: fromConstants(weights),
      tokenizer: tokenizerIn(folder, component.replace("text_encoder", "tokenizer")),
    };
  });
  const vae = vaeIn(join(folder, "vae"));
  return {
    text: text.length === 1 ? [text[0]] : [text[0], text[1]],
    unet: { config: unet.config, params: fromConstants(unet.weights) },
    vae: { kind: "kl", config: vae.config, params: fromConstants(vae.weights) },
    scheduler: readJson(folder, "scheduler/scheduler_config.json") as PipelineParts["scheduler"],
  };
}

/** Runs one case; the errors of the latents after every step, of the last ones and of the picture, over their rms. */
export async function pipelineErrors(
  one: GoldenFile<GoldenParts>,
  parts: PipelineParts,
  c: PipelineCase,
  runtime: Runtime,
  more: Partial<GenerateOptions> = {},
): Promise<Map<string, number>> {
  const tensors = goldenTensors(one);
  const values = (name: string | undefined) => {
    if (name === undefined) throw new Error("The golden values lack a draw that the run asks for.");
    return floatsOf(tensors, name);
  };
  const scheduler = { ...c.scheduler_config, _class_name: c.scheduler };
  const sampler = createScheduler(scheduler, c.steps);
  expect([...sampler.timesteps], "timesteps").toEqual(c.scheduler_timesteps);
  expect(Math.abs(sampler.initNoiseSigma / c.init_noise_sigma - 1), "init_noise_sigma").toBeLessThan(1e-6);
  const noise: Noise = (what, k, count) => {
    const { init_latents, posterior_noise, noise: added } = c.tensors;
    if (what === "start") return values(init_latents);
    if (what === "posterior") return values(posterior_noise);
    if (what === "image") return values(added);
    return values(added).slice(k * count, (k + 1) * count);
  };
  const [, , h, w] = c.latent_shape;
  const factor = 2 ** (parts.vae.kind === "kl" ? parts.vae.config.block_out_channels.length - 1 : 3);
  const source = c.tensors.source_image;
  const sizes = (ids: readonly number[] | undefined) =>
    ids && {
      original: [ids[0], ids[1]] as const,
      crop: [ids[2], ids[3]] as const,
      target: [ids[4], ids[5]] as const,
    };
  const states: Float32Array[] = [];
  const timesteps: number[] = [];
  const running = pipeline(parts, runtime);
  try {
    const { pictures, latents } = await running.generate({
      prompt: c.prompt,
      negative: c.negative_prompt,
      steps: c.steps,
      guidance: c.guidance_scale,
      height: h * factor,
      width: w * factor,
      scheduler,
      noise,
      ...(source
        ? { image: { picture: { shape: tensors.get(source)!.shape, data: values(source) }, strength: c.strength! } }
        : {}),
      ...(c.time_ids ? { sizes: sizes(c.time_ids), negativeSizes: sizes(c.negative_time_ids) } : {}),
      ...more,
      onProgress: (event) => {
        if (event.stage !== "step") return;
        states.push(event.latents.data);
        timesteps.push(event.timestep);
      },
    });
    expect(timesteps, "timesteps of the run").toEqual(c.kept_timesteps ?? c.scheduler_timesteps);
    const error = (have: Float32Array, name: string) =>
      largestDifference(have, values(name)) / one.golden.tensors[name].rms;
    const trajectory = values(c.tensors.trajectory);
    const size = latents.data.length;
    expect(states.length * size, "states after every step").toBe(trajectory.length);
    const joined = new Float32Array(trajectory.length);
    states.forEach((state, k) => {
      joined.set(state, k * size);
    });
    return new Map([
      [c.tensors.trajectory, error(joined, c.tensors.trajectory)],
      [c.tensors.latents, error(latents.data, c.tensors.latents)],
      ...(c.tensors.image ? [[c.tensors.image, error(pictures.data, c.tensors.image)] as const] : []),
    ]);
  } finally {
    await running.dispose();
  }
}
