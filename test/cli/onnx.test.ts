// Folders with an ONNX file in place of weights: sampled, distilled, saved, resumed like any teacher.
import { cp, mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { encode } from "fast-png";
import * as ort from "onnxruntime-node";
import { expect, test } from "vitest";
import type { Cond } from "../../src/condition.ts";
import { emitModel, input } from "../../src/graph/index.ts";
import { fromConstants } from "../../src/nn/params.ts";
import { readSafetensors } from "../../src/node/files.ts";
import { type LoadedModel, loadModel } from "../../src/node/models.ts";
import { importOnnx } from "../../src/onnx/index.ts";
import { key, normal } from "../../src/random.ts";
import { evaluate, fixture } from "../onnx/helpers.ts";
import { contents, fewstep, onlyRun, root, scratchOnce } from "./fewstep.ts";

const { at } = scratchOnce();
const mnist = join(root, "assets/mnist-teacher");
const ddpm = JSON.stringify({ _class_name: "DDPMScheduler" });
const patient = { timeout: 180_000 };

async function write(path: string, content: string | Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content);
}

/** The network of a model as an ONNX file for batches of `batch`, under Hugging Face's names. */
function exported({ network, params }: LoadedModel, batch: number): Uint8Array {
  const sample = input("sample", [batch, ...network.sampleShape]);
  const cond: Cond = network.conditions.labels ? { labels: input("class_labels", [batch], "int64") } : {};
  const out = network.apply(fromConstants(params), sample, input("timestep", [batch]), cond);
  return emitModel({ out_sample: out }, "cpu").bytes;
}

/** PyTorch's export of a U-Net on 8 x 8 pixels with four classes and "no class", as a folder. */
async function torchFolder(folder: string): Promise<string> {
  await write(join(folder, "unet/model.onnx"), fixture("unet-dynamo-18.onnx"));
  await write(join(folder, "scheduler/scheduler_config.json"), ddpm);
  return folder;
}

/** Sixteen pictures of noise in four classes. */
async function pictures(folder: string): Promise<string> {
  for (let i = 0; i < 16; i++) {
    const data = Uint8Array.from(normal(key(i), 64), (v) => Math.max(0, Math.min(255, 128 + 60 * v)));
    await write(join(folder, `${i % 4}/${i}.png`), encode({ width: 8, height: 8, channels: 1, data }));
  }
  return folder;
}

async function samples(model: string, name: string): Promise<Float32Array> {
  const file = at(`${name}.safetensors`);
  const options = ["--steps", "3", "--n", "6", "--seed", "4", "--save", file, "--out", at(`${name}.png`)];
  const ended = await fewstep("sample", model, ...options);
  expect(ended.code, ended.err).toBe(0);
  const { tensors } = await readSafetensors(file);
  return tensors.get("x")?.data as Float32Array;
}

const farthest = (a: Float32Array, b: Float32Array): number =>
  a.reduce((d, v, i) => Math.max(d, Math.abs(v - b[i])), 0);

test("an export of the MNIST teacher gives the teacher's samples, in parts of its batch", patient, async () => {
  const folder = at("mnist-onnx");
  await write(join(folder, "unet/model.onnx"), exported(await loadModel(mnist), 4));
  await cp(join(mnist, "unet/config.json"), join(folder, "unet/config.json"));
  await cp(join(mnist, "scheduler"), join(folder, "scheduler"), { recursive: true });
  const [own, imported] = [await samples(mnist, "own"), await samples(folder, "imported")];
  expect(own.length).toBe(6 * 28 * 28);
  expect(farthest(own, imported)).toBeLessThan(2e-5);
  const [plain, info] = [await fewstep("info", mnist), await fewstep("info", folder)];
  expect(info.out).toContain("an imported ONNX model (sample, timestep, class_labels to out_sample) with");
  const count = /with [\d,]+ parameters; samples are 1 x 28 x 28, 10 classes/;
  expect(info.out.match(count)?.[0]).toBe(plain.out.match(count)?.[0]);
  expect(info.out).toContain("takes 4 samples at once: larger batches are computed in parts.");
});

test("PeRFlow on PyTorch's export: starts, saves, resumes; the student is an ONNX file too", patient, async () => {
  const teacher = await torchFolder(at("torch"));
  const data = await pictures(at("pictures"));
  const perflow = (out: string, images: string) => [
    ...["accelerate", teacher, "--method", "perflow", "--data", data, "--windows", "2", "--teacher-steps", "2"],
    ...["--batch", "4", "--images", images, "--save-every", "4", "--preview-every", "0", "--decay", "constant"],
    ...["--warmup", "0", "--out", out],
  ];
  const whole = await fewstep(...perflow(at("whole"), "16"));
  expect(whole.code, whole.err).toBe(0);
  const part = await fewstep(...perflow(at("part"), "8"));
  expect(part.code, part.err).toBe(0);
  const run = await onlyRun(at("part"));
  const resumed = await fewstep("accelerate", "--resume", run, "--images", "16");
  expect(resumed.code, resumed.err).toBe(0);
  expect(resumed.err).toContain("Going on at step 2 of 4");
  const [a, b] = [await contents(await onlyRun(at("whole"))), await contents(run)];
  expect(b["state/state.safetensors"]).toBe(a["state/state.safetensors"]);
  expect(b["model/model.safetensors"]).toBe(a["model/model.safetensors"]);

  const [before, student] = [await loadModel(teacher), await loadModel(run)];
  expect(student.network.family).toBe("onnx");
  expect(farthest(before.theta, student.theta)).toBeGreaterThan(1e-6);
  expect([...student.params.keys()]).toContain("conv_in.weight");
  const info = await fewstep("info", run);
  expect(info.out).toContain("Its network is an imported ONNX model (sample, timestep, class_labels to out_sample)");
  expect((await samples(run, "student")).every(Number.isFinite)).toBe(true);

  // ONNX Runtime reads the student's file by itself, weights and all.
  const [x, t, labels] = [normal(key(1), 2 * 64), Float32Array.of(3, 700), BigInt64Array.of(1n, 4n)];
  const session = await ort.InferenceSession.create(join(run, "model/model.onnx"), { logSeverityLevel: 4 });
  const direct = await session.run({
    sample: new ort.Tensor("float32", x, [2, 1, 8, 8]),
    timestep: new ort.Tensor("float32", t, [2]),
    class_labels: new ort.Tensor("int64", labels, [2]),
  });
  await session.release();
  const y = student.network.apply(fromConstants(student.params), input("x", [2, 1, 8, 8]), input("t", [2]), {
    labels: input("labels", [2], "int64"),
  });
  const ours = await evaluate({ y }, { x, t, labels });
  expect(farthest(ours.y, direct.out_sample.data as Float32Array)).toBeLessThan(1e-5);
  // The student is a teacher again.
  const again = await fewstep("accelerate", run, ...perflow(at("again"), "4").slice(2));
  expect(again.code, again.err).toBe(0);
});

test("rectified diffusion and evaluation", patient, async () => {
  const teacher = await torchFolder(at("torch2"));
  const data = await pictures(at("pictures2"));
  const ended = await fewstep(
    ...["accelerate", teacher, "--method", "rectified-diffusion", "--pairs", "8", "--teacher-steps", "2"],
    ...["--batch", "4", "--images", "8", "--preview-every", "0", "--out", at("rectified")],
  );
  expect(ended.code, ended.err).toBe(0);
  const evaluated = await fewstep(
    ...["evaluate", await onlyRun(at("rectified")), "--teacher", teacher, "--data", data, "--steps", "1"],
    ...["--n", "8", "--out", at("evaluation")],
  );
  expect(evaluated.code, evaluated.err).toBe(0);
});

test("a batch in parts is the batch: three samples through a file for two", patient, async () => {
  const teacher = await loadModel(await torchFolder(at("torch3")));
  await write(at("two/unet/model.onnx"), exported(teacher, 2));
  await write(at("two/scheduler/scheduler_config.json"), ddpm);
  await write(at("two/unet/config.json"), JSON.stringify({ num_class_embeds: 5 }));
  const two = await loadModel(at("two"));
  expect(two.network.family === "onnx" && two.network.fixedBatch).toBe(2);
  const feeds = { x: normal(key(2), 3 * 64), t: Float32Array.of(5, 500, 900), labels: BigInt64Array.of(0n, 4n, 2n) };
  const inputs = [input("x", [3, 1, 8, 8]), input("t", [3]), { labels: input("labels", [3], "int64") }] as const;
  const output = ({ network, params }: LoadedModel) => network.apply(fromConstants(params), ...inputs);
  const { a, b } = await evaluate({ a: output(teacher), b: output(two) }, feeds);
  expect(farthest(a, b)).toBeLessThan(1e-5);
});

test("a transformer, and weights in a file beside the model", async () => {
  await write(at("dit/transformer/model.onnx"), fixture("dit-dynamo-21.onnx"));
  await write(at("dit/scheduler/scheduler_config.json"), ddpm);
  const dit = await loadModel(at("dit"));
  expect([dit.network.family, dit.network.sampleShape, dit.network.conditions]).toEqual(["onnx", [2, 8, 8], {}]);
  expect(dit.notes).toEqual([]);

  const inside = await loadModel(await torchFolder(at("inside")));
  const model = importOnnx(fixture("unet-dynamo-18.onnx"));
  const places = new Map<string, number>();
  let end = 12;
  for (const { name, data } of model.parameters) {
    places.set(name, end);
    end += data.byteLength;
  }
  const data = new Uint8Array(end);
  for (const p of model.parameters)
    data.set(new Uint8Array(p.data.buffer, p.data.byteOffset, p.data.byteLength), places.get(p.name));
  await torchFolder(at("outside"));
  await write(at("outside/unet/model.onnx"), model.detached("model.onnx_data", places));
  await expect(loadModel(at("outside"))).rejects.toThrow(
    'outside/unet/model.onnx: The model keeps arrays in "model.onnx_data", which was not given; put it beside the model.',
  );
  await write(at("outside/unet/model.onnx_data"), data);
  expect((await loadModel(at("outside"))).hash).toBe(inside.hash);
  await write(at("outside/unet/model.onnx"), model.detached("../model.onnx_data", places));
  await expect(loadModel(at("outside"))).rejects.toThrow('"../model.onnx_data", which is outside its folder.');
});
