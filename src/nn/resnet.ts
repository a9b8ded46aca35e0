// Residual blocks and resampling of diffusers' U-Nets and autoencoders, under their parameter names.
import { add, avgPool2d, div, mul, reshape, slice, split, type Tensor, upsampleNearest } from "../graph/index.ts";
import { type ActivationName, activate } from "./activations.ts";
import { conv2d, groupNorm, linear } from "./layers.ts";
import { type Params, seen } from "./params.ts";

/** What the residual blocks of one network share. */
export interface ResnetStyle {
  readonly groups: number;
  readonly eps: number;
  readonly act: ActivationName;
  /** How time enters: added before norm2, or as scale and shift after it. */
  readonly timeScaleShift?: "default" | "scale_shift";
  /** Leaves out the activation in front of the time projection. */
  readonly skipTimeAct?: boolean;
  /** The sum is divided by this; 1 unless given. */
  readonly outputScale?: number;
}

/** diffusers' ResnetBlock2D. x [B, C, H, W], temb [B, T] or null to [B, out, H, W] (or H, W halved or doubled). */
export function resnet(
  p: Params,
  name: string,
  x: Tensor,
  temb: Tensor | null,
  out: number,
  style: ResnetStyle,
  resize?: "down" | "up",
): Tensor {
  const { groups, eps, act, outputScale = 1 } = style;
  const resized = (v: Tensor) =>
    resize === "down" ? avgPool2d(v, { kernel: [2, 2] }) : resize === "up" ? upsampleNearest(v, 2) : v;
  let h = activate(act, groupNorm(p, `${name}.norm1`, x, groups, eps));
  h = conv2d(p, `${name}.conv1`, resized(h), { out });
  h = withTime(p, name, h, temb, out, style);
  h = conv2d(p, `${name}.conv2`, activate(act, h), { out });
  const carried = resized(x);
  const shortcut = x.shape[1] === out ? carried : conv2d(p, `${name}.conv_shortcut`, carried, { out, kernel: 1 });
  const sum = add(shortcut, h);
  return seen(p, name, outputScale === 1 ? sum : div(sum, outputScale));
}

function withTime(p: Params, name: string, h: Tensor, temb: Tensor | null, out: number, style: ResnetStyle): Tensor {
  const { groups, eps, act, timeScaleShift = "default", skipTimeAct = false } = style;
  const norm2 = (x: Tensor) => groupNorm(p, `${name}.norm2`, x, groups, eps);
  if (!temb) return norm2(h);
  const width = timeScaleShift === "scale_shift" ? 2 * out : out;
  const t = linear(p, `${name}.time_emb_proj`, skipTimeAct ? temb : activate(act, temb), width);
  const image = reshape(t, [t.shape[0], width, 1, 1]);
  if (timeScaleShift === "default") return norm2(add(h, image));
  const [scale, shift] = split(image, [out, out], 1);
  return add(mul(norm2(h), add(scale, 1)), shift);
}

/** diffusers' Downsample2D with convolution; padding 0 means one row and column of zeros at the bottom and right. */
export function downsample(p: Params, name: string, x: Tensor, padding: number): Tensor {
  const y = conv2d(p, `${name}.conv`, x, {
    out: x.shape[1],
    stride: 2,
    padding: padding === 0 ? [0, 0, 1, 1] : padding,
  });
  return seen(p, name, y);
}

/** diffusers' Upsample2D: nearest to twice the size (or to `size`, at most one less), then a convolution. */
export function upsample(p: Params, name: string, x: Tensor, size?: readonly [number, number]): Tensor {
  const up = upsampleNearest(x, 2);
  const [h, w] = size ?? [up.shape[2], up.shape[3]];
  // Nearest resizing to 2n - 1 instead of 2n repeats the same rows and leaves out the last.
  const fitted =
    h === up.shape[2] && w === up.shape[3]
      ? up
      : slice(up, [
          [0, up.shape[0]],
          [0, up.shape[1]],
          [0, h],
          [0, w],
        ]);
  return seen(p, name, conv2d(p, `${name}.conv`, fitted, { out: x.shape[1] }));
}
