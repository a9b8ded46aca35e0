// Half precision where it is safe, as in PyTorch's autocast: products of matrices and convolutions compute in float16,
// whatever loses by it in float32, and the rest in what its operands have. It wraps an emitter, so no operator knows.

import type { Emitter, OnnxAttr } from "./emitter.ts";
import type { DType, TensorData } from "./tensor.ts";

/** Computed in float16, sums inside in whatever the kernel takes. */
const HALF = new Set(["Conv", "ConvTranspose", "MatMul", "Gemm", "ms.FusedMatMul"]);

/**
 * Computed in float16 where no operand is float32: they move values, or lose no more than their operands did. The
 * number is how many of the first inputs may be data; the others are shapes, indices and the like.
 */
const FOLLOW: Readonly<Record<string, number>> = {
  ...{ Add: 2, Sub: 2, Mul: 2, Neg: 1, Max: 2, Min: 2, Abs: 1 },
  ...{ Sigmoid: 1, Tanh: 1, "ms.QuickGelu": 1, Gelu: 1 },
  ...{ Reshape: 1, Transpose: 1, Concat: Number.POSITIVE_INFINITY, Split: 1, Slice: 1, Expand: 1, Gather: 1 },
  ...{ Identity: 1, Pad: 3, Resize: 1, AveragePool: 1 },
};
const COMPARISONS = new Set(["Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Not"]);

const [FLOAT, FLOAT16] = [1, 10];

/**
 * half, full: float16 and float32. weak: a float32 constant that float16 holds as well; it takes the type of what it
 * meets. Values that are not in the map are no floats.
 */
type Precision = "half" | "full" | "weak";

export interface Autocast extends Emitter {
  /** Tells the type of an input or a constant. */
  declare(name: string, dtype: DType, data?: TensorData): void;
}

export function autocast(to: Emitter): Autocast {
  const precision = new Map<string, Precision>();
  const cast = (name: string, want: "half" | "full"): string => {
    const has = precision.get(name);
    if (has === undefined || has === want || (has === "weak" && want === "full")) return name;
    const made = to.op("Cast", [name], { to: want === "half" ? FLOAT16 : FLOAT });
    precision.set(made, want);
    return made;
  };
  const wantFor = (type: string, inputs: readonly string[]): "half" | "full" => {
    if (HALF.has(type)) return "half";
    const data = inputs.slice(0, FOLLOW[type] ?? 0).map((name) => precision.get(name));
    return data.includes("half") && !data.includes("full") ? "half" : "full";
  };
  const emitter: Autocast = {
    ...to,
    half: true,
    full: (name) => cast(name, "full"),
    op: (type, inputs, attrs) => emitter.ops(type, inputs, 1, attrs)[0],
    ops(type, inputs, outputs, attrs: Readonly<Record<string, OnnxAttr>> = {}) {
      const floats = inputs.some((name) => precision.has(name));
      const want = wantFor(type, inputs);
      const taken = inputs.slice(0, FOLLOW[type] ?? inputs.length).map((name) => cast(name, want));
      const made = to.ops(type, [...taken, ...inputs.slice(taken.length)], outputs, attrs);
      const result = type === "Cast" ? attrs.to === FLOAT : floats && !COMPARISONS.has(type);
      if (result) for (const name of made) if (!precision.has(name)) precision.set(name, want);
      return made;
    },
    floats(values, shape) {
      const name = to.floats(values, shape);
      emitter.declare(name, "float32", values instanceof Float32Array ? values : Float32Array.from(values));
      return name;
    },
    declare(name, dtype, data) {
      if (dtype !== "float32" || precision.has(name)) return;
      precision.set(name, data instanceof Float32Array && data.length <= SMALL && data.every(held) ? "weak" : "full");
    },
  };
  return emitter;
}
const SMALL = 4096;
/** Whether float16 holds a value as a normal number. */
const held = (x: number): boolean => x === 0 || (Math.abs(x) >= 2 ** -14 && Math.abs(x) <= 65504);
