// Kernels for the Wasm backend of TensorFlow.js, composed of its own fast ones. It ships no weight gradient of
// convolutions, and its input gradient and its products of transposed matrices run 5 to 10 times slower than the rest.

import type { Tf, TfTensor } from "./tfjs.ts";

interface Kernel {
  readonly kernelName: string;
  readonly backendName: string;
  readonly kernelFunc: (args: {
    inputs: Readonly<Record<string, TfTensor>>;
    attrs: Readonly<Record<string, unknown>>;
    backend: unknown;
  }) => unknown;
}
export interface Kernels {
  registerKernel(kernel: Kernel): void;
  unregisterKernel(name: string, backend: string): void;
  getKernel(name: string, backend: string): Kernel | undefined;
  engine(): { makeTensorFromTensorInfo(info: unknown): TfTensor };
}

export function registerKernels(tf: Tf): void {
  const replace = (kernelName: string, f: (old: Kernel | undefined) => Kernel["kernelFunc"]) => {
    const old = tf.getKernel(kernelName, "wasm");
    if (old) tf.unregisterKernel(kernelName, "wasm");
    tf.registerKernel({ kernelName, backendName: "wasm", kernelFunc: f(old) });
  };

  replace("BatchMatMul", (old) => (args) => {
    const { transposeA, transposeB } = args.attrs as { transposeA: boolean; transposeB: boolean };
    const run = (inputs: Record<string, TfTensor>) =>
      old!.kernelFunc({ inputs, backend: args.backend, attrs: { transposeA: false, transposeB: false } });
    if (!transposeA && !transposeB) return run(args.inputs);
    return tf.tidy(() => {
      const a = transposeA ? turned(tf, args.inputs.a) : args.inputs.a;
      const b = transposeB ? turned(tf, args.inputs.b) : args.inputs.b;
      return tf.engine().makeTensorFromTensorInfo(run({ a, b }));
    });
  });
  replace(
    "Conv2DBackpropFilter",
    () =>
      ({ inputs, attrs }) =>
        tf.tidy(() => weightGradient(tf, inputs.x, inputs.dy, attrs as unknown as FilterAttrs)),
  );
  replace("Conv2DBackpropInput", (old) => (args) => {
    const { strides, pad } = args.attrs as { strides: number | number[]; pad: unknown };
    const [kh, kw] = args.inputs.filter.shape;
    const [sy, sx] = typeof strides === "number" ? [strides, strides] : strides;
    if (sy !== 1 || sx !== 1 || typeof pad !== "number" || kh !== kw || 2 * pad !== kh - 1)
      return old!.kernelFunc(args);
    return tf.tidy(() => {
      const kernel = tf.transpose(tf.reverse(args.inputs.filter, [0, 1]), [0, 1, 3, 2]);
      return tf.conv2d(args.inputs.dy, kernel, [1, 1], pad);
    });
  });
}

const turned = (tf: Tf, x: TfTensor): TfTensor => {
  const n = x.shape.length;
  return tf.transpose(
    x,
    x.shape.map((_, i) => (i === n - 1 ? n - 2 : i === n - 2 ? n - 1 : i)),
  );
};

interface FilterAttrs {
  readonly strides: number | readonly [number, number];
  readonly pad: number;
  readonly filterShape: readonly number[];
}

/** x [N, H, W, C], dy [N, h, w, O]: for each place in the kernel, a product of the shifted input and dy. */
function weightGradient(tf: Tf, x: TfTensor, dy: TfTensor, { strides, pad, filterShape }: FilterAttrs): TfTensor {
  const [kh, kw, c, out] = filterShape;
  const [n, h, w] = dy.shape;
  const [sy, sx] = typeof strides === "number" ? [strides, strides] : strides;
  const border = [pad, pad] as const;
  const padded = pad === 0 ? x : tf.pad(x, [[0, 0], border, border, [0, 0]]);
  const rows = tf.reshape(dy, [n * h * w, out]);
  const parts: TfTensor[] = [];
  for (let i = 0; i < kh; i++)
    for (let j = 0; j < kw; j++) {
      const end = [n, i + (h - 1) * sy + 1, j + (w - 1) * sx + 1, c];
      const shifted = tf.stridedSlice(padded, [0, i, j, 0], end, [1, sy, sx, 1]);
      parts.push(tf.matMul(tf.transpose(tf.reshape(shifted, [n * h * w, c]), [1, 0]), rows));
    }
  return tf.reshape(tf.concat(parts, 0), [kh, kw, c, out]);
}
