// What a generation costs, before anything is loaded: memory and arithmetic of every stage, from configurations alone.

import type { PipelineOutline } from "../../diffusers/pipelineOutline.ts";
import { factorOf } from "../../diffusers/pipelineParts.ts";
import { operations } from "../../graph/flops.ts";
import { external, input, type Outputs } from "../../graph/index.ts";
import { estimateMemory, type MemoryEstimate } from "../../graph/memory.ts";
import { decodeLatents } from "../../nn/autoencoderKl.ts";
import { decodeTiny } from "../../nn/autoencoderTiny.ts";
import { clipText } from "../../nn/clipText.ts";
import { safetyChecker } from "../../nn/clipVision.ts";
import { countParams, type Params } from "../../nn/params.ts";
import { unet2dCondition } from "../../nn/unet2dCondition.ts";
import type { Context } from "../context.ts";
import { type Available, availableMemory, inGigabytes, mappedBytes } from "../memory.ts";
import type { Size } from "./pictures.ts";

export interface StageCost {
  readonly name: string;
  /** Bytes of the process while it runs, its weights mapped. */
  readonly bytes: number;
  /** Bytes of its weights as float32. */
  readonly weights: number;
  /** Floating point operations of one run. */
  readonly convolutions: number;
  readonly matrices: number;
}

export interface CostOptions extends Size {
  /** Pictures at a time. */
  readonly batch: number;
  readonly guidance: number;
  /** The VAE works in tiles. */
  readonly tiling: boolean;
}

/** A program's weights where they lie: of nothing but their shapes. */
export const nowhere: Params = (name, shape) => external({ folder: "/", location: name, offset: 0 }, shape);

/** In the order of a run: text, U-Net, VAE, safety checker. Each gives its memory back before the next begins. */
export function stageCosts(outline: PipelineOutline, o: CostOptions): StageCost[] {
  const { unet, vae, text, safety } = outline;
  const factor = factorOf(vae);
  const rows = o.guidance === 1 || unet.config.time_cond_proj_dim !== null ? 1 : 2;
  const batch = rows * o.batch;
  const [h, w] = [o.height / factor, o.width / factor];
  const texts = text.map(({ config }, k): StageCost => {
    const ids = input("ids", [rows, 77], "int64");
    const { last, hidden } = clipText(config, nowhere, ids, input("at", [rows], "int64"));
    return costOf(`text encoder${text.length > 1 ? ` ${k + 1}` : ""}`, {
      last: text.length > 1 ? hidden.at(-2)! : last,
    });
  });
  const { config } = unet;
  const x = input("x", [batch, config.in_channels, h, w]);
  const y = unet2dCondition(config, nowhere, x, input("tau", [batch]), {
    context: input("context", [batch, 77, config.cross_attention_dim]),
    ...(config.addition_embed_type === null
      ? {}
      : {
          textEmbeds: input("pooled", [batch, text[1].config.projection_dim]),
          timeIds: input("sizes", [batch, 6]),
        }),
    ...(config.time_cond_proj_dim === null ? {} : { guidance: input("guidance", [batch, config.time_cond_proj_dim]) }),
  });
  const side = vae.config && "sample_size" in vae.config ? tileOf(vae.config.sample_size) / factor : h;
  const tile = o.tiling ? [Math.min(h, side), Math.min(w, side)] : [h, w];
  const latents = input("latents", [o.batch, vae.config.latent_channels, ...tile]);
  const picture =
    vae.kind === "kl" ? decodeLatents(vae.config, nowhere, latents) : decodeTiny(vae.config, nowhere, latents);
  const checked = safety && safetyChecker(safety.config, nowhere, pixelsOf(safety.config));
  return [
    ...texts,
    costOf("U-Net", { y }),
    costOf(`VAE${o.tiling ? " (one tile)" : ""}`, { picture }),
    ...(checked ? [costOf("safety checker", { ...checked })] : []),
  ];
}

const tileOf = (size: number | readonly number[] | null): number =>
  typeof size === "number" ? size : (size?.[0] ?? 512);
const pixelsOf = (c: { readonly num_channels: number; readonly image_size: number }) =>
  input("pixels", [1, c.num_channels, c.image_size, c.image_size]);

function costOf(name: string, outputs: Outputs): StageCost {
  const estimate: MemoryEstimate = estimateMemory(outputs);
  return { name, bytes: mappedBytes(estimate), weights: estimate.constants, ...operations(outputs) };
}

/**
 * The plain case, without a graph: measured at 512 x 512 a U-Net takes some 2 kB a pixel and a VAE 6. Attention grows with the
 * square of the size, so larger pictures are looked at closely.
 */
function surelyFits(
  { unet, vae, text, safety }: PipelineOutline,
  { width, height, batch }: CostOptions,
  free: number,
): boolean {
  const weights = [unet, vae, ...text, ...(safety ? [safety] : [])].map(({ spec }) => 4 * countParams(spec));
  return width * height <= 2 ** 20 && 1.1 * Math.max(...weights) + 4e8 + 16_000 * width * height * 2 * batch < free;
}

/** Throws an Error that says what would help where a run needs more than there is; notes it where it needs more than is free. */
export function checkGeneratorMemory(
  outline: PipelineOutline,
  o: CostOptions & { readonly ignoreMemory: boolean },
  { report, runtime }: Context,
  { free, total }: Available = availableMemory(),
): void {
  if (runtime.device !== "cpu" || surelyFits(outline, o, free)) return;
  const costs = stageCosts(outline, o);
  const worst = costs.reduce((a, b) => (b.bytes > a.bytes ? b : a));
  if (worst.bytes <= free) return;
  const impossible = worst.bytes > total;
  const there = impossible ? `there are ${inGigabytes(total)}` : `${inGigabytes(free)} are free`;
  const advice = [
    ...(worst.name === "VAE" ? ["--tiling"] : []),
    ...(o.batch > 1 ? ["a smaller --batch"] : []),
    "a smaller --width and --height",
  ];
  const text = `The ${worst.name} at ${o.width} x ${o.height} needs about ${inGigabytes(worst.bytes)} of memory, but ${there}; it takes less with ${advice.join(" or ")}.`;
  if (impossible && !o.ignoreMemory) throw new Error(`${text} To try it all the same: --ignore-memory.`);
  report.note(text);
}
