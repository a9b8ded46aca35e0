// Low-rank changes of weights (LoRA, Hu et al. 2021): W + (alpha/rank)·B·A on chosen layers.

import { add, matmul, mul, reshape, type Tensor } from "../graph/index.ts";
import type { ParamSpec, Params } from "./params.ts";

export interface LowRank {
  readonly rank: number;
  /** The change is alpha/rank times B·A. */
  readonly alpha: number;
  /** Layers, without ".weight". */
  readonly layers: readonly string[];
}

/** The layers of a network that are changed unless told: matrices and convolutions inside its blocks. */
export const blockLayers = (spec: readonly ParamSpec[]): readonly string[] =>
  spec.flatMap(({ name, shape }) =>
    shape.length >= 2 && /(^|[._])(blocks?|attentions|resnets)\b.*\.weight$/.test(name)
      ? [name.slice(0, -".weight".length)]
      : [],
  );

/** Parameters "<layer>.lora_A" [rank, in] and "<layer>.lora_B" [out, rank]; B is zero at the start, so nothing changes. */
export function lowRankSpec(spec: readonly ParamSpec[], { rank, layers }: LowRank): readonly ParamSpec[] {
  return layers.flatMap((layer): ParamSpec[] => {
    const weight = spec.find(({ name }) => name === `${layer}.weight`);
    if (!weight || weight.shape.length < 2)
      throw new RangeError(`The network has no layer "${layer}" with a matrix or convolution that could be changed.`);
    const [out, ...rest] = weight.shape;
    const width = rest.reduce((a, b) => a * b, 1);
    return [
      { name: `${layer}.lora_A`, shape: [rank, width], init: "default" },
      { name: `${layer}.lora_B`, shape: [out, rank], init: "zeros" },
    ];
  });
}

/** Known to be zero when the program is made: a change that has not begun. */
const isZero = ({ source }: Tensor): boolean =>
  source.kind === "constant" && source.data instanceof Float32Array && source.data.every((value) => value === 0);

/** The parameters of `base` with the change added. */
export function lowRank(base: Params, change: Params, { rank, alpha, layers }: LowRank): Params {
  const chosen = new Set(layers.map((layer) => `${layer}.weight`));
  return Object.assign<Params, Pick<Params, "tap" | "remat">>(
    (name, shape, init) => {
      const weight = base(name, shape, init);
      if (!chosen.has(name)) return weight;
      const layer = name.slice(0, -".weight".length);
      const width = shape.slice(1).reduce((a, b) => a * b, 1);
      const [b, a] = [
        change(`${layer}.lora_B`, [shape[0], rank], "zeros"),
        change(`${layer}.lora_A`, [rank, width], "default"),
      ];
      if (isZero(b)) return weight;
      const product = matmul(b, a);
      return add(weight, mul(reshape(product, shape), alpha / rank));
    },
    { tap: base.tap, remat: base.remat },
  );
}
