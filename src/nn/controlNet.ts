// diffusers' ControlNetModel (Zhang et al. 2023, arXiv:2302.05543): a copy of a U-Net's way down that reads a picture.
import { add, flip, mean, mul, type Operand, type Tensor } from "../graph/index.ts";
import { activate } from "./activations.ts";
import { type ControlNetConfig, unetOf } from "./controlNetConfig.ts";
import { conv2d } from "./layers.ts";
import { type Params, seen } from "./params.ts";
import { downPath, midBlock, timeEmbedding, type UNetCondition } from "./unet2dCondition.ts";

/** What a U-Net adds to its skip tensors and to its middle. */
export type Control = NonNullable<UNetCondition["control"]>;

/**
 * x [B, in_channels, h, w] and tau [B] as for the U-Net; picture [B, conditioning_channels, H, W] in 0 to 1, larger than x
 * by 2 for each of conditioning_embedding_out_channels but the last. `strengths`: one factor for every skip tensor and,
 * last, for the middle; or one for all.
 */
export function controlNet(
  c: ControlNetConfig,
  p: Params,
  x: Tensor,
  tau: Tensor,
  cond: Pick<UNetCondition, "context" | "textEmbeds" | "timeIds" | "labels">,
  picture: Tensor,
  strengths: Operand | readonly Operand[] = 1,
): Control {
  const unet = unetOf(c);
  const temb = timeEmbedding(unet, p, tau, cond);
  const context = { text: cond.context };
  const ordered = c.controlnet_conditioning_channel_order === "bgr" ? flip(picture, [1]) : picture;
  const hint = stem(c, p, ordered);
  const [, , h, w] = x.shape;
  if (hint.shape[2] !== h || hint.shape[3] !== w)
    throw new RangeError(
      `The control picture is ${picture.shape[2]} x ${picture.shape[3]}, which this ControlNet takes to ${hint.shape[2]} x ${hint.shape[3]}; the latents are ${h} x ${w}.`,
    );
  const first = add(conv2d(p, "conv_in", x, { out: c.block_out_channels[0] }), hint);
  const down = downPath(unet, p, first, temb, context);
  const middle = midBlock(unet, p, down.h, temb, context);
  const out = (name: string, y: Tensor, k: number): Tensor => {
    const projected = conv2d(p, name, y, { out: y.shape[1], kernel: 1, init: "zeros" });
    const pooled = c.global_pool_conditions ? mean(projected, [2, 3], true) : projected;
    const strength = Array.isArray(strengths) ? (strengths as readonly Operand[])[k] : (strengths as Operand);
    return strength === 1 ? pooled : mul(pooled, strength);
  };
  const count = down.skips.length;
  if (Array.isArray(strengths) && strengths.length !== count + 1)
    throw new RangeError(`A ControlNet was given ${strengths.length} strengths, expected ${count + 1}.`);
  return {
    skips: down.skips.map((skip, k) => out(`controlnet_down_blocks.${k}`, skip, k)),
    middle: out("controlnet_mid_block", middle, count),
  };
}

/** The strengths of diffusers' guess mode for `count` skip tensors and the middle: logspace(-1, 0) times the scale. */
export const guessStrengths = (count: number, scale: number): number[] =>
  Array.from({ length: count + 1 }, (_, k) => scale * 10 ** (k / count - 1));

function stem(c: ControlNetConfig, p: Params, picture: Tensor): Tensor {
  const name = "controlnet_cond_embedding";
  const widths = c.conditioning_embedding_out_channels;
  let h = activate("silu", conv2d(p, `${name}.conv_in`, picture, { out: widths[0] }));
  for (let i = 0; i + 1 < widths.length; i++) {
    h = activate("silu", conv2d(p, `${name}.blocks.${2 * i}`, h, { out: widths[i] }));
    h = activate("silu", conv2d(p, `${name}.blocks.${2 * i + 1}`, h, { out: widths[i + 1], stride: 2 }));
  }
  return seen(p, name, conv2d(p, `${name}.conv_out`, h, { out: c.block_out_channels[0], init: "zeros" }));
}

/** The sum of what several ControlNets say. Throws RangeError for none, or where they do not fit each other. */
export function sumControls(controls: readonly Control[]): Control {
  if (controls.length === 0) throw new RangeError("No ControlNet was given.");
  return controls.reduce((a, b) => {
    if (a.skips.length !== b.skips.length)
      throw new RangeError(`Two ControlNets have ${a.skips.length} and ${b.skips.length} skip tensors.`);
    return { skips: a.skips.map((skip, k) => add(skip, b.skips[k])), middle: add(a.middle, b.middle) };
  });
}
