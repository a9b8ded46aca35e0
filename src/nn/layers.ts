// Layers with parameters, under PyTorch's names: `${name}.weight`, `${name}.bias`.

import type { Tensor } from "../graph/index.ts";
import * as graph from "../graph/index.ts";
import { type Init, type Params, seen } from "./params.ts";

export interface LinearOptions {
  readonly bias?: boolean;
  /** Start of weight and bias, where it is not PyTorch's default. */
  readonly init?: Init;
}

export interface ConvOptions extends LinearOptions {
  readonly out: number;
  /** Square kernel, 3 unless given. */
  readonly kernel?: number;
  readonly stride?: number;
  /** On every side, or [top, left, bottom, right]; (kernel - 1) / 2 unless given. */
  readonly padding?: number | readonly [number, number, number, number];
  readonly groups?: number;
}

const biasInit = (fanIn: number): Init => ({ uniform: 1 / Math.sqrt(fanIn) });

/** x [..., in] to [..., out]. */
export function linear(p: Params, name: string, x: Tensor, out: number, options: LinearOptions = {}): Tensor {
  const { bias = true, init } = options;
  const fanIn = x.shape[x.shape.length - 1];
  const w = p(`${name}.weight`, [out, fanIn], init);
  const b = bias ? p(`${name}.bias`, [out], init ?? biasInit(fanIn)) : undefined;
  return seen(p, name, graph.linear(x, w, b));
}

/** x [B, C, H, W] to [B, out, H', W']. */
export function conv2d(p: Params, name: string, x: Tensor, options: ConvOptions): Tensor {
  const { out, kernel = 3, stride = 1, padding = (kernel - 1) / 2, groups = 1, bias = true, init } = options;
  const perGroup = x.shape[1] / groups;
  const w = p(`${name}.weight`, [out, perGroup, kernel, kernel], init);
  const b = bias ? p(`${name}.bias`, [out], init ?? biasInit(perGroup * kernel * kernel)) : undefined;
  const pads = typeof padding === "number" ? padding : ([...padding] as [number, number, number, number]);
  return seen(p, name, graph.conv2d(x, w, b, { stride, padding: pads, groups }));
}

/** x [B, C, ...]; statistics over C / groups channels and all positions. Throws RangeError if groups do not divide C. */
export function groupNorm(p: Params, name: string, x: Tensor, groups: number, eps: number): Tensor {
  const channels = x.shape[1];
  if (channels % groups !== 0)
    throw new RangeError(`${name}: ${channels} channels cannot be divided into ${groups} groups.`);
  const [w, b] = affine(p, name, channels);
  return seen(p, name, graph.groupNorm(x, groups, w, b, eps));
}

/** Over the last axis, with PyTorch's eps unless given. */
export function layerNorm(p: Params, name: string, x: Tensor, eps = 1e-5): Tensor {
  const [w, b] = affine(p, name, x.shape[x.shape.length - 1]);
  return seen(p, name, graph.layerNorm(x, 1, w, b, eps));
}

/** Rows of a [count, width] table, drawn from N(0, 1) at the start; index int64 [B]. */
export function embedding(p: Params, name: string, index: Tensor, count: number, width: number, init?: Init): Tensor {
  const table = p(`${name}.weight`, [count, width], init ?? { normal: 1 });
  return seen(p, name, graph.embedding(table, index));
}

const affine = (p: Params, name: string, width: number): [Tensor, Tensor] => [
  p(`${name}.weight`, [width], "ones"),
  p(`${name}.bias`, [width], "zeros"),
];
