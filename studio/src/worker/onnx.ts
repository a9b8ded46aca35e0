// A sampler as one ONNX file, as `fewstep export --to onnx` writes it: run as it is.
import { fold, importOnnx, key, normal, type OrtModule } from "fewstep/browser";
import type { OnnxAsk, OnnxSampled } from "./protocol.ts";

interface Opened {
  readonly session: Awaited<ReturnType<OrtModule["InferenceSession"]["create"]>>;
  readonly inputs: readonly { readonly name: string; readonly shape: readonly number[] }[];
}

export function onnxSampler(ort: OrtModule) {
  let held: Opened | undefined;

  async function open(file: Uint8Array): Promise<Opened> {
    const found = importOnnx(file);
    const inputs = found.inputs.map(({ name, shape }) => ({ name, shape: shape.map(Number) }));
    if (!inputs.some(({ name }) => name === "noise"))
      throw new Error(
        `This ONNX file takes ${inputs.map(({ name }) => `"${name}"`).join(", ") || "nothing"}, and no "noise". Export a sampler with: fewstep export <model> --to onnx --batch 16 --out <folder>`,
      );
    const broken = inputs.find(({ shape }) => !shape.every((d) => Number.isInteger(d) && d > 0));
    if (broken) throw new Error(`The input "${broken.name}" of this file has no fixed shape.`);
    return { session: await ort.InferenceSession.create(file), inputs };
  }

  return async ({ file, seed, label }: OnnxAsk): Promise<OnnxSampled> => {
    if (file) {
      await held?.session.release();
      held = undefined;
      held = await open(file);
    }
    if (!held) throw new Error("There is no ONNX file yet.");
    const begin = performance.now();
    const { session, inputs } = held;
    const root = fold(key(seed), "sample");
    const feeds = Object.fromEntries(
      inputs.map(({ name, shape }) => {
        const [n, ...rest] = shape;
        const size = rest.reduce((a, b) => a * b, 1);
        if (name === "class_labels") {
          const labels = BigInt64Array.from({ length: n }, (_, i) => BigInt(label ?? i % 10));
          return [name, new ort.Tensor("int64", labels, shape)];
        }
        // As fewstep's own sampler draws: the noise of a sample depends on the seed and its number; later steps' on the step.
        const step = name.match(/^noise_(\d+)$/)?.[1];
        const values = new Float32Array(n * size);
        for (let i = 0; i < n; i++) {
          const from = step === undefined ? fold(root, i) : fold(root, i, "step", Number(step));
          normal(from, size, values.subarray(i * size, (i + 1) * size));
        }
        return [name, new ort.Tensor("float32", values, shape)];
      }),
    );
    const results = await session.run(feeds);
    const sample = results.sample ?? Object.values(results)[0];
    const x = Float32Array.from(sample.data as Float32Array);
    const classes = inputs.some(({ name }) => name === "class_labels");
    return { x, shape: sample.dims.slice(1), classes, seconds: (performance.now() - begin) / 1000 };
  };
}
