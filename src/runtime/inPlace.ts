// Whether results are written into the caller's buffers. onnxruntime-web (1.30) hands such a buffer back as it was, without
// an error: every loss would be 0.

import { add, type Device, emitModel, input } from "../graph/index.ts";
import type { OrtModule } from "./runtime.ts";
import { openSession } from "./session.ts";

/** Asks by one run of 1 + 1. Where this is false results are fetched, and copied into the buffers. */
export async function writesInPlace(ort: OrtModule, device: Device): Promise<boolean> {
  const model = emitModel({ y: add(input("x", [1]), 1) }, device);
  const session = await openSession(ort, device, 1, model, {});
  const y = new Float32Array(1);
  const tensor = (data: Float32Array) => new ort.Tensor("float32", data, [1]);
  try {
    await session.run({ x: tensor(Float32Array.of(1)) }, { [model.outputs[0].name]: tensor(y) });
    return y[0] === 2;
  } finally {
    await session.release();
  }
}
