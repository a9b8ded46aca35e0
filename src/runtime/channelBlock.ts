// How many channels a block of ONNX Runtime's convolution layout has: 16 with AVX-512, 8 with AVX2.

import { emitModel, input } from "../graph/index.ts";
import { operator } from "../graph/tensor.ts";
import type { OrtModule } from "./runtime.ts";

const reorder = operator<Record<string, never>>({
  name: "to_blocks",
  infer: ([x]) => [{ shape: x.shape, dtype: "float32" }],
  emit: (to, [x]) => [to.op("nchwc.ReorderInput", [x])],
  jvp: "none",
});

/** Asks by running one reordering, whose result has its channels rounded up to a block. 1 where there is no such layout. */
export async function channelBlock(ort: OrtModule): Promise<number> {
  try {
    const { bytes } = emitModel({ y: reorder([input("x", [1, 4, 1, 1])], {})[0] }, "cpu");
    const session = await ort.InferenceSession.create(bytes, { logSeverityLevel: 4 });
    const { y } = await session.run({ x: new ort.Tensor("float32", new Float32Array(4), [1, 4, 1, 1]) });
    await session.release();
    return y.dims[1];
  } catch {
    return 1;
  }
}
