// One evaluation of a pipeline's U-Net: with guidance, ControlNets, T2I-Adapter features and pictures of IP-Adapters.
import { concat, input, mul, type Tensor } from "../graph/index.ts";
import { controlNet, guessStrengths, sumControls } from "../nn/controlNet.ts";
import { guidanceEmbedding } from "../nn/embed.ts";
import { t2iAdapter } from "../nn/t2iAdapter.ts";
import { unet2dCondition } from "../nn/unet2dCondition.ts";
import type { Feed } from "../runtime/index.ts";
import type { PipelineParts } from "./pipelineParts.ts";
import type { Sessions } from "./sessions.ts";
import type { Values } from "./textConditions.ts";
import type { Image } from "./tiles.ts";

export interface ControlInput {
  /** [1 or pictures, 3, H, W] in 0 to 1: for every ControlNet of the parts. */
  readonly picture: Image;
  /** Default 1. */
  readonly scale?: number;
  /** Says nothing to the unconditional half, and less to early layers. */
  readonly guess?: boolean;
}

/** What stays the same during a run. Rows: the unconditional half first, where guidance is not 1. */
export interface Conditions {
  readonly context: Values;
  /** SDXL: [rows, D], [rows, 6]. */
  readonly pooled?: Values;
  readonly sizes?: Values;
  /** class_labels of the U-Net, float32 [rows, …]. */
  readonly labels?: Values;
  /** Further input channels behind the latents: [rows, C, h, w] (mask and masked latents, or another view's latents). */
  readonly channels?: Image;
  readonly controls?: readonly ControlInput[];
  readonly features?: ControlInput;
  /** Tokens of IP-Adapters [rows, N, D]. */
  readonly images?: readonly { readonly tokens: Values; readonly scale: number }[];
}

export interface Denoiser {
  /** Rows of the U-Net's batch for each picture: 2 with guidance, else 1. */
  readonly halves: 1 | 2;
  /** The guided output at scaled latents [pictures, C, h, w] and a timestep. */
  evaluate(x: Float32Array, timestep: number): Promise<Float32Array>;
}

/** Prepares a run on latents of `shape`. Throws RangeError where a condition does not fit. */
export async function denoiser(
  sessions: Sessions,
  parts: PipelineParts,
  shape: readonly number[],
  guidance: number,
  conditions: Conditions,
): Promise<Denoiser> {
  const { unet, controlNets = [], adapter } = parts;
  const distilled = unet.config.time_cond_proj_dim;
  const halves = guidance === 1 || distilled !== null ? 1 : 2;
  const rows = halves * shape[0];
  const fixed: Record<string, Feed> = {};
  const tensors: Record<string, Tensor> = {};
  const give = (name: string, { shape: given, data }: Values): Tensor => {
    if (given[0] !== rows)
      throw new RangeError(`The condition "${name}" has ${given[0]} rows, expected ${rows}: one for every evaluation.`);
    fixed[name] = data;
    tensors[name] = input(name, given);
    return tensors[name];
  };
  const { context, pooled, sizes, labels, channels, controls = [], features, images = [] } = conditions;
  if (controls.length !== controlNets.length)
    throw new RangeError(`${controls.length} control pictures were given for ${controlNets.length} ControlNets.`);
  if (features && !adapter) throw new RangeError("A picture for a T2I-Adapter was given, but there is no adapter.");
  const text = give("context", context);
  const textEmbeds = pooled && give("pooled", pooled);
  const timeIds = sizes && give("sizes", sizes);
  const classes = labels && give("labels", labels);
  const more = channels && give("channels", channels);
  controls.forEach(({ picture }, k) => {
    give(`control.${k}`, repeated(picture, rows));
  });
  const levels = features ? await adapterFeatures(sessions, parts, features) : [];
  levels.forEach((level, i) => {
    give(`feature.${i}`, repeated(level, rows));
  });
  images.forEach(({ tokens, scale }, k) => {
    give(`image.${k}`, tokens);
    fixed[`image.${k}.scale`] = Float32Array.of(scale);
  });
  if (distilled !== null) fixed.guidance = new Float32Array(rows).fill(guidance - 1);
  controls.forEach((control, k) => {
    fixed[`control.${k}.scale`] = Float32Array.from({ length: rows }, (_, row) =>
      control.guess && halves === 2 && row < shape[0] ? 0 : (control.scale ?? 1),
    );
  });

  const build = () => {
    const latents = input("x", shape);
    const tau = input("tau", [rows]);
    const doubled = halves === 2 ? concat([latents, latents], 0) : latents;
    const x = more ? concat([doubled, more], 1) : doubled;
    const added = { context: text, textEmbeds, timeIds };
    const said = controlNets.map(({ config, params }, k) => {
      const plain = controlNet(config, params, doubled, tau, added, tensors[`control.${k}`]);
      const strengths = controls[k].guess ? guessStrengths(plain.skips.length, 1) : null;
      const scale = input(`control.${k}.scale`, [rows, 1, 1, 1]);
      const scaled = (y: Tensor, i: number) => mul(y, strengths ? mul(scale, strengths[i]) : scale);
      return { skips: plain.skips.map(scaled), middle: scaled(plain.middle, plain.skips.length) };
    });
    const y = unet2dCondition(unet.config, unet.params, x, tau, {
      ...added,
      labels: classes,
      ...(said.length > 0 ? { control: sumControls(said) } : {}),
      ...(levels.length > 0 ? { features: levels.map((_, i) => tensors[`feature.${i}`]) } : {}),
      images: images.map((_, k) => ({ tokens: tensors[`image.${k}`], scale: input(`image.${k}.scale`, []) })),
      ...(distilled !== null ? { guidance: guidanceEmbedding(input("guidance", [rows]), distilled) } : {}),
    });
    return { y };
  };
  const flags = controls.map(({ guess }) => (guess ? "g" : "c")).join("");
  const shapes = Object.entries(tensors).map(([name, { shape: of }]) => `${name}:${of.join("x")}`);
  const key = `unet.${halves}.${shape.join("x")}.${shapes.join(".")}.${flags}`;
  return {
    halves,
    async evaluate(x, timestep) {
      const program = await sessions.get(key, build);
      const { y } = await program.run({ ...fixed, x, tau: new Float32Array(rows).fill(timestep) });
      const out = y.data as Float32Array;
      if (halves === 1) return out.slice();
      const size = out.length / 2;
      const guided = new Float32Array(size);
      for (let i = 0; i < size; i++) guided[i] = out[i] + guidance * (out[size + i] - out[i]);
      return guided;
    },
  };
}

/** A condition for every row: one for all, or one per picture, for both halves. */
export function repeated({ shape, data }: Values, rows: number): Image {
  const [batch] = shape;
  if (rows % batch !== 0) throw new RangeError(`${batch} pictures do not go into ${rows} rows evenly.`);
  const out = new Float32Array((data.length / batch) * rows);
  for (let at = 0; at < out.length; at += data.length) out.set(data, at);
  return { shape: [rows, ...shape.slice(1)], data: out };
}

async function adapterFeatures(
  sessions: Sessions,
  { adapter }: PipelineParts,
  { picture, scale = 1 }: ControlInput,
): Promise<Image[]> {
  const { config, params } = adapter!;
  const names = config.channels.map((_, i) => `feature.${i}`);
  const program = await sessions.get<string>(`adapter.${picture.shape.join("x")}`, () =>
    Object.fromEntries(t2iAdapter(config, params, input("x", picture.shape)).map((y, i) => [names[i], y])),
  );
  const found = await program.run({ x: picture.data });
  return names.map((name) => ({
    shape: found[name].shape,
    data: (found[name].data as Float32Array).map((value) => value * scale),
  }));
}
