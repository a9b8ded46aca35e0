// Wrong input ends in one clear sentence and the right exit code, and loses nothing that was saved.
import { spawnSync } from "node:child_process";
import { cp, mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { readSafetensors, writeSafetensors } from "../../src/data/safetensors.ts";
import { picture } from "../data/bytes.ts";
import { fixture } from "../onnx/helpers.ts";
import { failure, fewstep, onlyRun, root, scratch } from "./fewstep.ts";

const { at } = scratch();
const teacher = join(root, "assets/mnist-teacher");
const mnist = join(root, "assets/mnist-small");
let model: string;
let before: Buffer;

const tiny = "--data toy:moons@64 --form linear --width 8 --depth 1 --batch 8 --images 16 --preview-every 0".split(" ");

beforeEach(async () => {
  const { code, err } = await fewstep("train", ...tiny, "--out", at("models"));
  expect(code, err).toBe(0);
  model = await onlyRun(at("models"));
  before = await readFile(join(model, "model/model.safetensors"));
});

/** A copy of the model with one of its files changed. */
async function broken(file: string, change: (bytes: Buffer) => Uint8Array | string): Promise<string> {
  await cp(join(model, "model"), at("broken"), { recursive: true });
  await writeFile(at("broken", file), change(await readFile(at("broken", file))));
  return at("broken");
}

describe("models", () => {
  const sample = (path: string) => failure(1, "sample", path, "--out", at("grid.png"));
  const card = (change: object) =>
    broken("card.json", (bytes) => JSON.stringify({ ...JSON.parse(bytes.toString()), ...change }));

  test("missing, a file, a folder without a model", async () => {
    expect(await sample(at("nowhere"))).toContain("nowhere does not exist, expected a folder with a model");
    expect(await sample(join(model, "model/card.json"))).toContain("is a file, expected the folder of a model");
    await mkdir(at("empty"));
    expect(await sample(at("empty"))).toContain("holds no model: expected card.json");
  });
  test("a cut-off file, and one of something else", async () => {
    expect(await sample(await broken("model.safetensors", (b) => b.subarray(0, b.length - 9)))).toMatch(
      /model\.safetensors is cut off: \d+ bytes, expected \d+/,
    );
    expect(await sample(await broken("model.safetensors", () => "GIF89a, and then some more bytes"))).toContain(
      "is no safetensors file",
    );
    expect(await sample(await broken("model.safetensors", () => ""))).toContain("is cut off: 0 bytes");
    expect(await sample(await broken("card.json", (b) => b.subarray(0, 40)))).toContain("card.json is not JSON");
  });
  test("a card of a newer format, and cards that do not fit", async () => {
    expect(await sample(await card({ format: 3 }))).toMatch(
      /has format 3, but this version of fewstep reads formats up to 2/,
    );
    expect(await sample(await card({ form: { kind: "spiral" } }))).toMatch(/card.json is not a valid card: form/);
    expect(await sample(await card({ network: { family: "rnn", config: {} } }))).toContain('no network family "rnn"');
    expect(await sample(await card({ conditioning: { labels: 3, nullLabel: 3 } }))).toMatch(
      /card.json: the card says conditioning.labels = 3, but its network has 0\. Get the card that belongs to the weights\.$/,
    );
    const wide = { family: "mlp", config: { dim: 2, width: 16, depth: 1, classes: null } };
    expect(await sample(await card({ network: wide }))).toMatch(/model.safetensors: Parameter .* has shape/);
  });
  test("weights with a tensor too few", async () => {
    const path = await broken("model.safetensors", (bytes) => {
      const { tensors } = readSafetensors(bytes);
      return writeSafetensors(new Map([...tensors].slice(1)));
    });
    expect(await sample(path)).toContain("The weights lack");
  });
});

describe("teachers of diffusers", () => {
  async function changed(file: string, change: object): Promise<string> {
    await cp(teacher, at("teacher"), { recursive: true });
    const json = JSON.parse(await readFile(at("teacher", file), "utf8"));
    await writeFile(at("teacher", file), JSON.stringify({ ...json, ...change }));
    return failure(1, "accelerate", at("teacher"), "--method", "perflow", "--data", mnist, "--out", at("runs"));
  }
  test("a scheduler without betas, another network, an unknown setting", async () => {
    const flow = { _class_name: "FlowMatchEulerDiscreteScheduler" };
    expect(await changed("scheduler/scheduler_config.json", flow)).toMatch(
      /FlowMatchEulerDiscreteScheduler, whose noise levels are not a table of betas/,
    );
  });
  test("another network", async () => {
    const text = { _class_name: "UNet2DConditionModel" };
    expect(await changed("unet/config.json", text)).toContain("has no text_encoder/config.json");
  });
  test("a setting that is not supported", async () => {
    expect(await changed("unet/config.json", { class_embed_type: "timestep" })).toContain(
      '"class_embed_type": "timestep"',
    );
  });
});

describe("data", () => {
  const train = (data: string) => failure(1, "train", "--data", data, "--out", at("runs"));
  const accelerate = (data: string) =>
    failure(1, "accelerate", teacher, "--method", "perflow", "--data", data, "--out", at("runs"));

  test("missing, empty, an unknown toy", async () => {
    expect(await train(at("nowhere"))).toContain("nowhere does not exist");
    await mkdir(at("empty"));
    expect(await train(at("empty"))).toContain("holds no data");
    expect(await train("toy:donut")).toContain('no toy data "donut", expected one of 8gaussians');
  });
  test("a wrong magic number and a cut-off file", async () => {
    await mkdir(at("idx"));
    await writeFile(at("idx/train-images-idx3-ubyte"), new Uint8Array(64));
    expect(await train(at("idx"))).toMatch(/train-images-idx3-ubyte .*(magic|IDX)/i);
    const packed = await readFile(join(mnist, "train-images-idx3-ubyte.gz"));
    await writeFile(at("idx/train-images-idx3-ubyte.gz"), packed.subarray(0, 5000));
    await writeFile(
      at("idx/train-images-idx3-ubyte"),
      Buffer.from([0, 0, 8, 3, 0, 0, 0, 9, 0, 0, 0, 28, 0, 0, 0, 28, 7]),
    );
    expect(await train(at("idx"))).toMatch(/train-images-idx3-ubyte/);
  });
  test("another size or other channels than the teacher's; classes it does not have", async () => {
    await mkdir(at("images/a"), { recursive: true });
    await writeFile(at("images/a/1.png"), await picture(32, 32, 3));
    expect(await accelerate(at("images"))).toMatch(/32 x 32 with 3 channels, expected 28 x 28 with 1 channel/);
    expect(await accelerate("toy:moons")).toMatch(/expected 1 x 28 x 28 like the model/);
  });
});

describe("options", () => {
  const wrong = (...args: string[]) => failure(2, ...args);
  test("unknown options, commands, methods and values", async () => {
    expect(await wrong("sample", model, "--stpes", "4")).toMatch(/Unknown option '--stpes' \(Did you mean --steps\?\)/);
    expect(await wrong("trian")).toMatch(/Unknown command 'trian'/);
    expect(await wrong("sample", model, "--steps", "many")).toMatch(
      /--steps is "many": expected a whole number from 1\./,
    );
    expect(await wrong("sample", model, "--steps", "0")).toMatch(/--steps is 0: expected a whole number from 1\./);
    expect(await wrong("sample", model, "--solver", "magic")).toMatch(/Unknown solver "magic". Expected one of ddim/);
    expect(await wrong("train", ...tiny, "--form", "spiral")).toMatch(/--form is "spiral": expected one of vp, subvp/);
    expect(await wrong("accelerate", model, "--method", "magic")).toMatch(
      /--method magic is no method; there are: perflow, .*, scm\.$/,
    );
    expect(await wrong("accelerate", model, "--method", "perflow")).toMatch(/--data is missing/);
    expect(await wrong("accelerate", model, "--method", "rectified-diffusion", "--windows", "4")).toMatch(
      /--windows does not belong to rectified-diffusion/,
    );
    expect(await wrong("train", ...tiny, "--network", "dit")).toMatch(/dit does not fit data of the shape 2 x 1 x 1/);
    expect(await wrong("sample", model, "--class", "3")).toMatch(/--class 3 needs a model with classes/);
    expect(await wrong("sample", model, "--guidance", "3")).toMatch(/--guidance 3 needs a model with classes/);
    expect(await wrong("sample", model, "--device", "tpu")).toMatch(/--device is "tpu": expected one of cpu/);
  });
  test("all that a teacher lacks for a method, and all options of other methods, in one sentence", async () => {
    const points = ["--data", "toy:moons@64", "--batch", "8", "--images", "8", "--out", at("students")];
    const asked = (path: string, method: string, ...more: string[]) =>
      wrong("accelerate", path, "--method", method, ...points, ...more);
    expect(await asked(model, "perflow", "--guidance", "2")).toMatch(
      /^perflow cannot be done with \S+: guidance needs a teacher with classes and a "no label", and \S+ has no classes: use --guidance 1\.$/,
    );
    const dit = at("dit");
    await mkdir(join(dit, "transformer"), { recursive: true });
    await mkdir(join(dit, "scheduler"));
    await writeFile(join(dit, "transformer/model.onnx"), fixture("dit-dynamo-21.onnx"));
    await writeFile(join(dit, "scheduler/scheduler_config.json"), JSON.stringify({ _class_name: "DDPMScheduler" }));
    const everything = ["--gan", "0.1", "--guidance", "3", "--gradient-checkpointing", "--regression", "0"];
    expect(await asked(dit, "dmd", ...everything, "--pairs-mb", "4", "--pairs-dir", at("pairs"))).toBe(
      'dmd cannot be done with dit: guidance needs a teacher with classes and a "no label", and dit has no classes: use --guidance 1; ' +
        "its discriminator looks inside the network, and an ONNX file does not say what is inside; " +
        "--gradient-checkpointing needs a network of blocks, and an ONNX file does not say where its blocks are: use a smaller --batch; " +
        "it makes no pairs here, so leave out --pairs-mb and --pairs-dir.",
    );
    expect(await asked(dit, "lcm")).toBe(
      "lcm cannot be done with dit: it tells the network more than an ONNX file takes.",
    );
    expect(await asked(model, "rectified-diffusion", "--windows", "4", "--critic-rate", "2")).toMatch(
      /^--windows, --critic-rate do not belong to rectified-diffusion, which has: --teacher-steps, .*--pairs, --compare\.$/,
    );
    await expect(stat(at("students"))).rejects.toThrow("ENOENT");
    await expect(stat(at("pairs"))).rejects.toThrow("ENOENT");
  });
  test("options that do nothing with the others, and a teacher that says nothing at pure noise", async () => {
    const points = ["--data", "toy:moons@64", "--batch", "8", "--images", "8", "--out", at("none")];
    const asked = (method: string, ...more: string[]) =>
      wrong("accelerate", model, "--method", method, ...points, ...more);
    expect(await asked("dmd", "--regression", "0", "--pairs", "64", "--gan-critic", "0.5")).toBe(
      "dmd: --pairs does nothing with --regression 0; --gan-critic does nothing with --gan 0. Leave them out.",
    );
    expect(await asked("perflow", "--distance-scale", "0.1", "--dry-run")).toBe(
      "perflow: --distance-scale does nothing with --distance mse. Leave it out.",
    );
    expect(await asked("lcm", "--guidance-max", "4")).toMatch(/--guidance-max does nothing with a teacher that cannot/);
    expect(await asked("progressive", "--from", "8", "--to", "3")).toMatch(/8 steps become 8, 4, 2, 1 by halving/);
    const cosine = at("cosine");
    const made = ["--data", "toy:moons@64", "--form", "cosine", "--prediction", "eps", "--width", "8", "--depth", "1"];
    const trained = await fewstep(
      "train",
      ...made,
      "--batch",
      "8",
      "--images",
      "8",
      "--preview-every",
      "0",
      "--run",
      cosine,
    );
    expect(trained.code, trained.err).toBe(0);
    for (const method of ["perflow", "lcm", "dmd"])
      expect(await wrong("accelerate", cosine, "--method", method, ...points)).toMatch(
        new RegExp(`^${method} starts at pure noise, and there eps says nothing of the data on the form cosine`),
      );
    await expect(stat(at("none"))).rejects.toThrow("ENOENT");
  });
  test("config files: flags win; unknown names and wrong values are errors", async () => {
    const config = at("config.json");
    await writeFile(config, JSON.stringify({ batch: 4, "save-every": 8, form: "cosine", prediction: "v" }));
    const { out, code } = await fewstep("train", "--config", config, ...tiny, "--form", "vp", "--dry-run");
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      batch: 8,
      "save-every": 8,
      form: "vp",
      prediction: "v",
      lr: 0.001,
      seed: 0,
    });
    await writeFile(config, JSON.stringify({ bacth: 4 }));
    expect(await wrong("train", "--config", config, ...tiny)).toMatch(
      /has the option "bacth", which does not exist here/,
    );
    await writeFile(config, JSON.stringify({ lr: "fast" }));
    expect(await wrong("train", "--config", config, ...tiny)).toMatch(/--lr is "fast": expected a number above 0\./);
    expect(await failure(1, "train", "--config", at("none.json"), ...tiny)).toMatch(/none.json does not exist/);
  });
  test("fewer steps than windows", async () => {
    const made = await fewstep(
      ...[
        "accelerate",
        model,
        "--method",
        "perflow",
        "--data",
        "toy:moons@64",
        "--windows",
        "3",
        "--teacher-steps",
        "1",
      ],
      ...["--batch", "8", "--images", "8", "--preview-every", "0", "--out", at("students")],
    );
    expect(made.code, made.err).toBe(0);
    const student = await onlyRun(at("students"));
    expect(await wrong("sample", student, "--steps", "2")).toMatch(/2 steps cannot cover 3 windows/);
  });
  test("errors are events with --json", async () => {
    const { out, code } = await fewstep("--json", "sample", model, "--stpes", "4");
    expect(code).toBe(2);
    expect(JSON.parse(out)).toMatchObject({ kind: "error", code: 2 });
  });
});

test("a disk that takes no more: one sentence, and the last checkpoint is as it was", async () => {
  // The largest file a process may write stands for the size of the disk; 4 blocks hold no checkpoint.
  const main = join(root, "src/cli/main.ts");
  const command = `ulimit -f 4; exec "${process.execPath}" --import tsx "${main}" train --resume "${model}" --images 64 --quiet`;
  const state = await readFile(join(model, "state/state.safetensors"));
  expect(state.length).toBeGreaterThan(4 * 1024);
  const { status, stderr } = spawnSync("sh", ["-c", command], { cwd: root, encoding: "utf8" });
  expect(stderr).toMatch(/^Error: .*state\.safetensors could not be written: .*\n$/);
  expect(status).toBe(1);
  expect(await readFile(join(model, "state/state.safetensors"))).toEqual(state);
  expect(await readFile(join(model, "model/model.safetensors"))).toEqual(before);
  const again = await fewstep("train", "--resume", model, "--images", "64");
  expect(again.code, again.err).toBe(0);
});

test("an output that cannot be written", async () => {
  await writeFile(at("file"), "");
  expect(await failure(1, "sample", model, "--out", at("file/grid.png"))).toContain("a part of the path is a file");
  expect((await stat(at("file"))).size).toBe(0);
});
