// The golden operators by name, applied through the public graph language.

import type { Tensor } from "../../src/graph/index.ts";
import * as g from "../../src/graph/index.ts";

type Inputs = Readonly<Record<string, Tensor>>;
type Apply = (x: Inputs, a: GoldenAttrs) => Tensor | readonly Tensor[];

export interface GoldenAttrs {
  approximate?: "none" | "tanh";
  min?: number;
  max?: number;
  exponent?: number;
  dim?: number;
  dims?: number[];
  keepdim?: boolean;
  correction?: number;
  causal?: boolean;
  scale?: number;
  stride?: [number, number];
  padding?: [number, number];
  output_padding?: [number, number];
  dilation?: [number, number];
  kernel?: [number, number];
  count_include_pad?: boolean;
  groups?: number;
  eps?: number;
  normalized_shape?: number[];
  delta?: number;
  c?: number;
  mode?: string;
  value?: number;
  sizes?: number[];
  slices?: [number, number, number][];
  pads?: [number, number][];
  shape?: number[];
}

const all = (x: Inputs): Tensor[] =>
  Object.keys(x)
    .sort()
    .map((k) => x[k]);
const unary =
  (f: (x: Tensor) => Tensor): Apply =>
  ({ x }) =>
    f(x);
const binary =
  (f: (a: Tensor, b: Tensor) => Tensor): Apply =>
  ({ a, b }) =>
    f(a, b);
const reduce =
  (f: (x: Tensor, axes?: readonly number[], keepdims?: boolean) => Tensor): Apply =>
  ({ x }, a) =>
    f(x, a.dims, a.keepdim);

export const OPERATORS: Readonly<Record<string, Apply>> = {
  exp: unary(g.exp),
  log: unary(g.log),
  sqrt: unary(g.sqrt),
  rsqrt: unary(g.rsqrt),
  tanh: unary(g.tanh),
  sigmoid: unary(g.sigmoid),
  erf: unary(g.erf),
  sin: unary(g.sin),
  cos: unary(g.cos),
  abs: unary(g.abs),
  neg: unary(g.neg),
  reciprocal: unary(g.reciprocal),
  silu: unary(g.silu),
  quick_gelu: unary(g.quickGelu),
  relu: unary(g.relu),
  softplus: unary(g.softplus),
  geglu: unary(g.geglu),
  gelu: ({ x }, a) => g.gelu(x, a.approximate),
  add: binary(g.add),
  sub: binary(g.sub),
  mul: binary(g.mul),
  div: binary(g.div),
  maximum: binary(g.maximum),
  minimum: binary(g.minimum),
  pow_tensor: binary(g.pow),
  pow: ({ x }, a) => g.pow(x, a.exponent!),
  clamp: ({ x }, a) => g.clamp(x, a),
  where: ({ cond, a, b }) => g.where(cond, a, b),
  softmax: ({ x }, a) => g.softmax(x, a.dim),
  log_softmax: ({ x }, a) => g.logSoftmax(x, a.dim),
  attention: ({ q, k, v, mask }, a) => g.attention(q, k, v, { mask, scale: a.scale, causal: a.causal }),
  conv2d: ({ x, w, b }, a) => g.conv2d(x, w, b, a),
  conv_transpose2d: ({ x, w, b }, a) => g.convTranspose2d(x, w, b, { ...a, outputPadding: a.output_padding }),
  linear: ({ x, w, b }) => g.linear(x, w, b),
  matmul: binary((a, b) => g.matmul(a, b)),
  bmm: binary(g.bmm),
  group_norm: ({ x, w, b }, a) => g.groupNorm(x, a.groups!, w, b, a.eps),
  layer_norm: ({ x, w, b }, a) => g.layerNorm(x, a.normalized_shape!.length, w, b, a.eps),
  rms_norm: ({ x, w }, a) => g.rmsNorm(x, a.normalized_shape!.length, w, a.eps),
  sum: reduce(g.sum),
  mean: reduce(g.mean),
  max: reduce(g.max),
  logsumexp: reduce(g.logsumexp),
  var: ({ x }, a) => g.variance(x, a.dims, a.keepdim, a.correction),
  cumsum: ({ x }, a) => g.cumsum(x, a.dim!),
  upsample: ({ x }, a) => (a.mode === "nearest" ? g.upsampleNearest(x, a.scale!) : g.upsampleBilinear(x, a.scale!)),
  avg_pool2d: ({ x }, a) => g.avgPool2d(x, { ...pool(a), countIncludePad: a.count_include_pad }),
  max_pool2d: ({ x }, a) => g.maxPool2d(x, pool(a)),
  embedding: ({ w, index }) => g.embedding(w, index),
  concat: (x, a) => g.concat(all(x), a.dim!),
  stack: (x, a) => g.stack(all(x), a.dim!),
  split: ({ x }, a) => g.split(x, a.sizes!, a.dim!),
  slice: ({ x }, a) => g.slice(x, a.slices!),
  pad: ({ x }, a) => g.pad(x, a.pads!, a.mode === "reflect" ? "reflect" : a.value),
  permute: ({ x }, a) => g.transpose(x, a.dims!),
  reshape: ({ x }, a) => g.reshape(x, a.shape!),
  broadcast_to: ({ x }, a) => g.broadcastTo(x, a.shape!),
  flip: ({ x }, a) => g.flip(x, a.dims!),
  mse: ({ pred, target }) => g.mse(pred, target),
  huber: ({ pred, target }, a) => g.huber(pred, target, a.delta),
  pseudo_huber: ({ pred, target }, a) => g.pseudoHuber(pred, target, a.c),
  cross_entropy: ({ logits, label }) => g.crossEntropy(logits, label),
};
const pool = (a: GoldenAttrs) => ({ kernel: a.kernel!, stride: a.stride, padding: a.padding });
