// The golden operator cases on WebGPU: the CPU's values and derivatives.

import { afterAll, describe, expect, it } from "vitest";
import { cos, input, sin } from "../../src/graph/index.ts";
import { goldenRoots } from "../support/golden.ts";
import { checkOperator, operatorFiles } from "../support/goldenOperators.ts";
import { webgpu } from "../support/webgpu.ts";

const runtime = await webgpu();
let ran = 0;

/** Operators of no training step, or further cases of kernels that a software adapter takes a second each to compile. */
const left = new Set([
  "conv2d.groups4",
  "conv2d.patch",
  "conv2d.k1_stride2",
  "conv2d.k4_stride2",
  "conv2d.no_bias_valid",
  "conv2d.depthwise_stride2",
  "conv_transpose2d.k4_stride2",
  "conv_transpose2d.groups2",
  "linear.one_row",
  "linear.3d_no_bias",
  "matmul.matrix_vector",
  "matmul.batch_vector",
  "matmul.broadcast_left",
  "matmul.broadcast_both",
  "upsample.bilinear_x2",
  "avg_pool2d.k3_pad_not_counted",
  "avg_pool2d.k3_pad_counted",
  "embedding.1d",
  "var.two_dims",
  "var.last_keep",
]);

if (runtime) {
  const [root] = goldenRoots();
  for (const { file, cases, get } of operatorFiles(root))
    describe(`nn ${file}`, () => {
      for (const c of cases.filter(({ id }) => !left.has(id)))
        it(c.id, async () => {
          await checkOperator(runtime, c, get);
          ran++;
        });
    });

  it("sine and cosine are exact for embeddings of large times", async () => {
    const x = Float32Array.from({ length: 3001 }, (_, i) => i - 1500 + 1 / (i + 1));
    const t = input("t", [x.length]);
    const program = await runtime.compile({ sine: sin(t), cosine: cos(t) });
    const { sine, cosine } = await program.run({ t: x });
    await program.dispose();
    const worst = (found: ArrayLike<number>, f: (x: number) => number) =>
      x.reduce((top, v, i) => Math.max(top, Math.abs((found[i] as number) - f(v))), 0);
    expect(worst(sine.data as Float32Array, Math.sin)).toBeLessThan(4e-7);
    expect(worst(cosine.data as Float32Array, Math.cos)).toBeLessThan(4e-7);
  });

  afterAll(() => {
    console.log(`webgpu: ${ran} operator cases agree in value, vjp and jvp; ${left.size} were left out`);
    expect(ran).toBeGreaterThan(100);
    expect(runtime.open()).toBe(0);
  });
}
