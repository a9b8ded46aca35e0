// Results without copies. onnxruntime-node 1.30 copies every output of a run into new memory, also one that was written
// into a buffer of the caller: for the state of a training step that took longer than the optimizer. It hands outputs
// over in their order and throws at the first that is no tensor. So a model whose first output is an empty sequence
// leaves the results in the caller's buffers; the error says that it ran. (Later versions do not copy.)

import { add, emitModel, input } from "../graph/index.ts";
import type { OrtModule, OrtSession, OrtTensor } from "./runtime.ts";

/** The name of the output that is no tensor. */
export const UNREAD = "unread";

/** The error with which a run of such a model ends; null where this build does without the error or without the copies. */
export async function endOfRun(ort: OrtModule): Promise<string | null> {
  const { bytes } = emitModel({ y: add(input("x", [1]), 1) }, "cpu", 1, "float32", true);
  const session = await ort.InferenceSession.create(bytes, { logSeverityLevel: 4 });
  const y = new Float32Array(1);
  const tensor = (data: Float32Array) => new ort.Tensor("float32", data, [1]);
  try {
    await session.run({ x: tensor(Float32Array.of(1)) }, { [UNREAD]: null, y: tensor(y) });
    return null;
  } catch (error) {
    return y[0] === 2 && error instanceof Error ? error.message : null;
  } finally {
    await session.release();
  }
}

/** Runs a model with an unread output; the results are in `fetches`. */
export async function runUncopied(
  session: OrtSession,
  end: string,
  feeds: Readonly<Record<string, OrtTensor>>,
  fetches: Readonly<Record<string, OrtTensor | null>>,
): Promise<void> {
  try {
    await session.run(feeds, { [UNREAD]: null, ...fetches });
  } catch (error) {
    if (!(error instanceof Error) || error.message !== end) throw error;
  }
}
