// One case or several for each operator: its operands and attributes.
import { TensorProto_DataType as DataType } from "onnx-buf";
import {
  bools,
  distinct,
  f,
  floats,
  index,
  int,
  ints,
  type Operand,
  positive,
  stored,
  type TestAttr,
  weights,
} from "./model.ts";

export interface Case {
  readonly name: string;
  readonly op: string;
  readonly operands: readonly (Operand | null)[];
  readonly attrs?: Readonly<Record<string, TestAttr>>;
  /** Default 17. */
  readonly opset?: number;
  readonly outputs?: number;
  readonly type?: DataType;
  /** No derivative to compare: piecewise constant, or not of floats. */
  readonly flat?: boolean;
  readonly tolerance?: number;
}

type Rest = Omit<Case, "name" | "op" | "operands" | "attrs">;
const c = (
  op: string,
  operands: readonly (Operand | null)[],
  attrs: Readonly<Record<string, TestAttr>> = {},
  rest: Rest = {},
): Case => {
  const text = Object.entries(attrs)
    .map(([name, v]) => `${name}=${typeof v === "object" && "$typeName" in v ? "…" : JSON.stringify(v)}`)
    .join(" ");
  const shapes = operands.map((x) => (x ? `[${x.shape}]` : "–")).join(" ");
  return { name: `${op} ${shapes} ${text}${rest.opset ? ` v${rest.opset}` : ""}`, op, operands, attrs, ...rest };
};
const flat = { flat: true } as const;
const bool = { flat: true, type: DataType.BOOL } as const;
const long = { flat: true, type: DataType.INT64 } as const;
const float = (x: number) => ({ float: x });

const pointwise: readonly Case[] = [
  ...["Neg", "Exp", "Abs", "Erf", "Sin", "Cos", "Sigmoid", "Tanh", "Relu", "Softplus", "Softsign", "Identity"].map(
    (op) => c(op, [f(2, 5)]),
  ),
  ...["Log", "Sqrt", "Reciprocal"].map((op) => c(op, [positive(2, 5)])),
  ...["Sign", "Floor", "Ceil", "Round"].map((op) => c(op, [f(3, 4)], {}, flat)),
  ...["Add", "Sub", "Mul", "Min", "Max"].map((op) => c(op, [f(2, 3, 4), f(3, 1)])),
  c("Add", [index([2, 3], 9), index([3], 9)], {}, long),
  c("Mul", [f(2, 3), floats([2], [])]),
  c("Div", [f(2, 3), positive(3)]),
  c("Div", [index([6], 40), ints(3, -4, 5, 7, -2, 1)], {}, long),
  c("Mod", [index([6], 40), ints(3, 4, 5, 7, 2, 1)], {}, long),
  c("Mod", [f(6), floats([3, -0.5, 5, 0.7, 2, -1])], { fmod: 1 }, flat),
  c("Pow", [positive(2, 3), floats([2.5], [])]),
  c("Pow", [f(2, 3), floats([2], [])]),
  c("Pow", [positive(2, 3), f(3)]),
  c("Min", [f(4), f(4), f(4)]),
  c("Sum", [f(2, 3), f(3), f(2, 1)]),
  c("Mean", [f(2, 3), f(3), f(2, 1)]),
  ...["Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"].flatMap((op) => [
    c(op, [index([3, 4], 3), index([4], 3)], {}, bool),
    c(op, [f(3, 4), f(4)], {}, bool),
  ]),
  c("Equal", [bools(6), bools(6)], {}, bool),
  ...["And", "Or", "Xor"].map((op) => c(op, [bools(2, 5), bools(5)], {}, bool)),
  c("Not", [bools(6)], {}, bool),
  c("Where", [bools(2, 3), f(2, 3), f(3)]),
  c("Clip", [f(9), floats([-0.5], []), floats([0.7], [])]),
  c("Clip", [f(9)], { min: float(-0.5), max: float(0.7) }, { opset: 6 }),
  c("Cast", [f(2, 4)], { to: DataType.INT64 }, long),
  c("Cast", [index([2, 4], 3)], { to: DataType.FLOAT }, flat),
  c("Cast", [index([2, 4], 2)], { to: DataType.BOOL }, bool),
];

const activations: readonly Case[] = [
  c("HardSwish", [f(3, 4)]),
  c("Swish", [f(3, 4)], { alpha: float(0.8) }, { opset: 24 }),
  c("Mish", [f(3, 4)], {}, { opset: 18 }),
  c("Gelu", [f(3, 4)], {}, { opset: 20 }),
  c("Gelu", [f(3, 4)], { approximate: "tanh" }, { opset: 20, tolerance: 1e-5 }),
  c("LeakyRelu", [f(3, 4)], { alpha: float(0.2) }),
  c("PRelu", [f(2, 3, 4), weights(3, 1)]),
  c("HardSigmoid", [f(9)], { alpha: float(0.3), beta: float(0.4) }),
  c("ThresholdedRelu", [f(9)], { alpha: float(0.4) }, flat),
  ...["Elu", "Celu"].map((op) => c(op, [f(3, 4)], { alpha: float(0.7) })),
  c("Selu", [f(3, 4)]),
  ...["Gelu", "FastGelu", "QuickGelu"].map((op) => c(`com.microsoft.${op}`, [f(3, 4)], {}, { tolerance: 1e-5 })),
  c("com.microsoft.BiasGelu", [f(3, 4), f(4)]),
  c("com.microsoft.QuickGelu", [f(3, 4)], { alpha: float(1) }),
];

const movement: readonly Case[] = [
  c("Reshape", [f(2, 3, 4), ints(0, -1, 2)]),
  c("Flatten", [f(2, 3, 4)], { axis: 2 }),
  c("Flatten", [f(2, 3, 4)], { axis: -1 }),
  c("Transpose", [f(2, 3, 4)]),
  c("Transpose", [f(2, 3, 4)], { perm: [1, 0, 2] }),
  c("Squeeze", [f(2, 1, 3, 1), ints(-1)]),
  c("Squeeze", [f(2, 1, 3, 1)]),
  c("Squeeze", [f(2, 1, 3, 1)], { axes: [1] }, { opset: 11 }),
  c("Unsqueeze", [f(2, 3), ints(0, -1)]),
  c("Unsqueeze", [f(2, 3)], { axes: [1] }, { opset: 11 }),
  c("Concat", [f(2, 3), f(2, 1), weights(2, 2)], { axis: -1 }),
  c("Split", [f(2, 7), ints(3, 4)], { axis: 1 }, { outputs: 2 }),
  c("Split", [f(2, 6)], { axis: -1 }, { outputs: 3 }),
  c("Split", [f(2, 7)], { axis: 1, num_outputs: 3 }, { outputs: 3, opset: 18 }),
  c("Split", [f(2, 7)], { axis: 1, split: [3, 4] }, { outputs: 2, opset: 11 }),
  c("Slice", [f(4, 6), ints(1, -5), ints(2 ** 40, -1), ints(0, 1), ints(1, 2)]),
  c("Slice", [f(4, 6), ints(-1), ints(-100), ints(1), ints(-1)]),
  c("Slice", [f(4, 6), ints(5), ints(0), ints(1), ints(-2)]),
  c("Slice", [f(4, 6)], { starts: [1, 2], ends: [3, 100], axes: [0, 1] }, { opset: 9 }),
  c("Gather", [f(5, 3), int(-1)]),
  c("Gather", [f(2, 5, 3), ints(4, 0, 0, -2)], { axis: 1 }),
  c("Gather", [f(2, 5, 3), ints(3, 2, 1)], { axis: 1 }),
  c("Gather", [weights(5, 3), index([2, 2], 5)]),
  c("Gather", [f(2, 3, 5), index([4], 5)], { axis: -1 }),
  c("GatherElements", [f(3, 4), index([3, 2], 4)], { axis: 1 }),
  c("GatherElements", [f(3, 4), index([2, 4], 3)], { axis: 0 }),
  c("Expand", [f(3, 1), ints(2, 1, 4)]),
  c("Tile", [f(2, 3), ints(2, 3)]),
  c("Pad", [f(3, 4), ints(0, 1, 2, 0)]),
  c("Pad", [f(3, 4), ints(1, -1, 0, 2), floats([1.5], [])]),
  c("Pad", [f(3, 4), ints(0, 2, 1, 3)], { mode: "reflect" }),
  c("Pad", [f(3, 4), ints(0, 2, 1, 3)], { mode: "edge" }),
  c("Pad", [f(3, 4), ints(1, 3), null, ints(1)], { mode: "wrap" }, { opset: 19 }),
  c("Pad", [f(3, 4)], { pads: [0, 1, 2, 0], value: float(0.5) }, { opset: 9 }),
  c("DepthToSpace", [f(2, 8, 2, 3)], { blocksize: 2 }),
  c("DepthToSpace", [f(2, 8, 2, 3)], { blocksize: 2, mode: "CRD" }),
  c("SpaceToDepth", [f(2, 3, 4, 6)], { blocksize: 2 }),
  c("Dropout", [f(3, 4)]),
];

const shapes: readonly Case[] = [
  c("ConstantOfShape", [ints(2, 3)], { value: stored("v", { shape: [1], data: Float32Array.of(1.5) }) }),
  c("ConstantOfShape", [ints(2, 3)]),
  c("Range", [floats([1], []), floats([4.2], []), floats([0.5], [])]),
  c("EyeLike", [f(3, 4)], { k: 1 }, flat),
  c("OneHot", [index([4], 5), int(5), floats([-1, 2])], { axis: 0 }),
  c("Trilu", [f(2, 4, 5), int(1)]),
  c("Trilu", [f(4, 5)], { upper: 0 }),
  c("CumSum", [f(3, 4), int(1)]),
  c("CumSum", [f(3, 4), int(0)], { exclusive: 1, reverse: 1 }),
];

const reductions: readonly Case[] = [
  ...["Sum", "Mean", "Prod", "L1", "L2", "SumSquare", "LogSumExp"].flatMap((op) => [
    c(`Reduce${op}`, [f(2, 3, 4), ints(0, -1)], { keepdims: 0 }, { opset: 18 }),
    c(`Reduce${op}`, [f(2, 3, 4)], {}, { opset: 18 }),
  ]),
  ...["Max", "Min"].map((op) => c(`Reduce${op}`, [distinct(2, 3, 4), ints(1)], {}, { opset: 18 })),
  c("ReduceLogSum", [positive(2, 3), ints(1)], {}, { opset: 18 }),
  c("ReduceMean", [f(2, 3, 4)], { axes: [1] }, { opset: 13 }),
  c("ReduceSum", [f(2, 3), ints()], { noop_with_empty_axes: 1 }),
  c("ReduceSum", [f(2, 3)], { axes: [1], keepdims: 0 }, { opset: 11 }),
  ...["Softmax", "LogSoftmax"].flatMap((op) => [
    c(op, [f(2, 3, 4)]),
    c(op, [f(2, 3, 4)], { axis: 1 }),
    c(op, [f(2, 3, 4)], {}, { opset: 11 }),
  ]),
];

const products: readonly Case[] = [
  c("MatMul", [f(2, 3, 4), f(4, 5)]),
  c("MatMul", [f(2, 1, 3, 4), f(3, 4, 2)]),
  c("MatMul", [f(4), f(2, 4, 3)]),
  c("MatMul", [f(2, 3, 4), weights(4)]),
  c("Gemm", [f(3, 4), weights(5, 4), weights(5)], { transB: 1 }),
  c("Gemm", [f(4, 3), f(4, 5), f(3, 1)], { transA: 1, alpha: float(0.5), beta: float(2) }),
  c("Gemm", [f(3, 4), f(4, 5)]),
  c("com.microsoft.FusedMatMul", [f(2, 4, 3), f(2, 5, 4)], { transA: 1, transB: 1, alpha: float(0.3) }),
  c("com.microsoft.FusedGemm", [f(3, 4), f(4, 5), f(5)], { activation: "Relu" }),
  c("com.microsoft.FusedGemm", [f(3, 4), f(4, 5), f(5)], { activation: "LeakyRelu", activation_alpha: float(0.1) }),
  ...[
    ["bhqd,bhkd->bhqk", [2, 2, 3, 4], [2, 2, 5, 4]],
    ["bhqk,bhkd->bqhd", [2, 2, 3, 5], [2, 2, 5, 4]],
    ["ij,jk", [3, 4], [4, 2]],
    ["...ij,...jk->...ik", [2, 3, 4], [2, 4, 2]],
    ["bi,bi->b", [3, 4], [3, 4]],
    ["i,j->ij", [3], [4]],
    ["bij,bjk->b", [2, 3, 4], [2, 4, 5]],
  ].map(([equation, a, b]) =>
    c("Einsum", [f(...(a as number[])), f(...(b as number[]))], { equation: equation as string }),
  ),
  c("Einsum", [f(2, 3, 4)], { equation: "bij->jb" }),
  c("Einsum", [f(2, 3), f(3, 4), f(4, 2)], { equation: "ij,jk,kl->il" }),
  c("Attention", [f(2, 3, 4, 6), f(2, 3, 5, 6), f(2, 3, 5, 2)], {}, { opset: 23 }),
  c(
    "Attention",
    [f(2, 4, 12), f(2, 4, 6), f(2, 4, 6)],
    { q_num_heads: 4, kv_num_heads: 2, is_causal: 1 },
    { opset: 23 },
  ),
];

const spatial: readonly Case[] = [
  c("Conv", [f(2, 4, 6, 7), weights(6, 2, 3, 2), weights(6)], { group: 2, pads: [1, 0, 2, 1], strides: [2, 1] }),
  c("Conv", [f(2, 3, 7, 7), weights(4, 3, 3, 3)], { dilations: [2, 1], pads: [2, 1, 2, 1] }),
  c("Conv", [f(2, 3, 7, 6), weights(4, 3, 3, 2)], { auto_pad: "SAME_UPPER", strides: [2, 2] }),
  c("Conv", [f(2, 3, 7, 6), weights(4, 3, 2, 2)], { auto_pad: "SAME_LOWER" }),
  c("Conv", [f(2, 3, 7, 6), weights(4, 3, 2, 2)], { auto_pad: "VALID" }),
  c("Conv", [f(2, 4, 6, 6), weights(4, 1, 3, 3)], { group: 4, pads: [1, 1, 1, 1] }),
  c("Conv", [f(2, 3, 9), weights(4, 3, 3), weights(4)], { pads: [1, 1], strides: [2] }),
  // So many maxima with zero that differences cross some of their kinks.
  c("com.microsoft.FusedConv", [f(2, 3, 5, 5), weights(4, 3, 3, 3), weights(4)], { activation: "Relu" }, flat),
  c("com.microsoft.FusedConv", [f(2, 3, 5, 5), weights(4, 3, 3, 3), weights(4)], {
    activation: "Tanh",
    pads: [1, 1, 1, 1],
  }),
  c("com.microsoft.FusedConv", [f(1, 3, 5, 5), weights(4, 3, 3, 3)], {
    activation: "LeakyRelu",
    activation_params: { floats: [0.1] },
  }),
  c("ConvTranspose", [f(2, 4, 5, 4), weights(4, 3, 3, 3), weights(3)], {
    strides: [2, 2],
    pads: [1, 1, 1, 1],
    output_padding: [1, 1],
  }),
  c("ConvTranspose", [f(2, 4, 5, 4), weights(4, 2, 3, 2)], { group: 2, strides: [1, 2], pads: [0, 1, 1, 0] }),
  c("ConvTranspose", [f(2, 4, 3, 4), weights(4, 2, 3, 3)], { strides: [2, 2], output_shape: [6, 8] }),
  c("ConvTranspose", [f(2, 4, 3, 4), weights(4, 2, 3, 3)], { strides: [2, 2], auto_pad: "SAME_UPPER" }),
  c("ConvTranspose", [f(2, 4, 5), weights(4, 2, 3)], { strides: [2] }),
  c("AveragePool", [f(2, 3, 6, 6)], { kernel_shape: [2, 2], strides: [2, 2] }),
  c("AveragePool", [f(2, 3, 7, 6)], { kernel_shape: [3, 2], strides: [2, 1], pads: [1, 0, 1, 1] }),
  c("AveragePool", [f(2, 3, 7, 6)], { kernel_shape: [3, 2], pads: [1, 0, 1, 1], count_include_pad: 1 }),
  c("AveragePool", [f(2, 3, 7, 6)], { kernel_shape: [3, 3], strides: [2, 2], ceil_mode: 1 }, { opset: 19 }),
  c("AveragePool", [f(2, 3, 8)], { kernel_shape: [2], strides: [2] }),
  c("MaxPool", [distinct(2, 3, 7, 6)], { kernel_shape: [3, 2], strides: [2, 1], pads: [1, 0, 1, 1] }),
  c("MaxPool", [distinct(2, 3, 7, 6)], { kernel_shape: [2, 2], strides: [2, 2], ceil_mode: 1 }),
  c("MaxPool", [distinct(2, 3, 7, 6)], { kernel_shape: [2, 2], dilations: [2, 3] }),
  c("MaxPool", [distinct(2, 3, 8)], { kernel_shape: [3], auto_pad: "SAME_UPPER", strides: [2] }),
  c("GlobalAveragePool", [f(2, 3, 4, 5)]),
  c("GlobalMaxPool", [distinct(2, 3, 4, 5)]),
];

const norms: readonly Case[] = [
  c("BatchNormalization", [f(2, 3, 4), weights(3), weights(3), weights(3), { ...positive(3), stored: true }], {
    epsilon: float(1e-3),
  }),
  c("InstanceNormalization", [f(2, 3, 4, 5), weights(3), weights(3)], { epsilon: float(1e-4) }),
  c("GroupNormalization", [f(2, 6, 4), weights(2), weights(2)], { num_groups: 2 }, { opset: 18 }),
  c("GroupNormalization", [f(2, 6, 4, 3), weights(6), weights(6)], { num_groups: 3 }, { opset: 21 }),
  c("LayerNormalization", [f(2, 3, 4), weights(3, 4), weights(3, 4)], { axis: 1, epsilon: float(1e-4) }),
  c("LayerNormalization", [f(2, 3, 4), weights(4)], {}, { outputs: 3 }),
  c("LayerNormalization", [f(2, 3, 4), floats([1, 1, 1, 1])]),
  c("RMSNormalization", [f(2, 3, 4), weights(4)], {}, { opset: 23 }),
  c("LpNormalization", [f(2, 3, 4)], { axis: 1 }),
  c("LpNormalization", [f(2, 3, 4)], { p: 1 }),
  c("com.microsoft.SkipLayerNormalization", [f(2, 3, 4), f(2, 3, 4), weights(4), weights(4), weights(4)], {
    epsilon: float(1e-5),
  }),
];

const resizing: readonly Case[] = [
  c("Resize", [f(2, 3, 4, 5), null, floats([1, 1, 2, 2])], {
    coordinate_transformation_mode: "asymmetric",
    nearest_mode: "floor",
  }),
  c("Resize", [f(2, 3, 4, 5), null, null, ints(2, 3, 8, 10)]),
  c("Resize", [f(1, 2, 4, 5), null, null, ints(1, 2, 7, 3)]),
  c("Resize", [f(1, 2, 4, 5), null, floats([1, 1, 3, 2])], { mode: "linear" }),
  c("Resize", [f(1, 2, 4, 5), null, floats([1, 1, 2, 2])], {
    mode: "linear",
    coordinate_transformation_mode: "align_corners",
  }),
  c("Resize", [f(1, 2, 4, 5), null, floats([1, 1, 1.5, 0.6])], {
    mode: "linear",
    coordinate_transformation_mode: "pytorch_half_pixel",
  }),
  c("Resize", [f(1, 2, 5, 6), null, floats([1, 1, 2, 2])], { mode: "cubic" }, { tolerance: 1e-5 }),
  c("Resize", [f(1, 2, 4, 5), null, floats([2, 3])], { axes: [2, 3], mode: "linear" }, { opset: 18 }),
  c("Resize", [f(2, 3, 4, 5), floats([1, 1, 2, 2])], { mode: "linear" }, { opset: 10 }),
  c("Upsample", [f(2, 3, 4, 5), floats([1, 1, 2, 2])], {}, { opset: 9 }),
  c("Upsample", [f(2, 3, 4, 5), floats([1, 1, 2, 3])], { mode: "linear" }, { opset: 9 }),
];

export const cases: readonly Case[] = [
  ...pointwise,
  ...activations,
  ...movement,
  ...shapes,
  ...reductions,
  ...products,
  ...spatial,
  ...norms,
  ...resizing,
];
