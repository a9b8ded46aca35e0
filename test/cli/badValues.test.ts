// Values that cannot be: one sentence each with what was expected, before anything is computed or written.
import { spawnSync } from "node:child_process";
import { cp, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { failure, fewstep, onlyRun, root, scratchOnce } from "./fewstep.ts";

const { at } = scratchOnce();
const teacher = join(root, "assets/mnist-teacher");
const mnist = join(root, "assets/mnist-small");
const tiny = "--data toy:moons@64 --form linear --width 8 --depth 1 --batch 8 --preview-every 0".split(" ");
let model: string;

beforeAll(async () => {
  const { code, err } = await fewstep("train", ...tiny, "--images", "16", "--out", at("models"));
  expect(code, err).toBe(0);
  model = await onlyRun(at("models"));
});

describe("numbers", () => {
  test.each([
    [["--steps", "NaN"], '--steps is "NaN": expected a whole number from 1.'],
    [["--steps", "-3"], "--steps is -3: expected a whole number from 1."],
    [["--steps", "2.5"], "--steps is 2.5: expected a whole number from 1."],
    [["--n", "0"], "--n is 0: expected a whole number from 1."],
    [["--guidance", "Infinity"], "--guidance is Infinity: expected a number."],
    [["--class", "-1"], "--class is -1: expected a whole number from 0."],
    [["--threads", "1e9"], "--threads is 1000000000: expected a whole number from 0 to 1024."],
    [["--seed", "1e20"], "--seed is 100000000000000000000: expected a whole number from 0 to 9007199254740991."],
  ])("sample %j", async (args, sentence) => {
    expect(await failure(2, "sample", "anything", ...args)).toBe(sentence);
  });
  test.each([
    [["--lr", "0"], "--lr is 0: expected a number above 0."],
    [["--ema", "1"], "--ema is 1: expected a number from 0 and below 1."],
    [["--drop-labels", "2"], "--drop-labels is 2: expected a number from 0 to 1."],
    [["--images", "8", "--minutes", "1"], "--images 8 and --minutes 1 are two budgets for one run. Give one of them."],
  ])("train %j", async (args, sentence) => {
    expect(await failure(2, "train", ...tiny, ...args, "--out", at("none"))).toBe(sentence);
  });
  test("lists, and values of a config file", async () => {
    const evaluate = (...args: string[]) => failure(2, "evaluate", model, "--data", "toy:moons@64", ...args);
    expect(await evaluate("--steps", "1,,2")).toBe('--steps is "": expected numbers, each a whole number from 1.');
    expect(await evaluate("--steps", "1,x")).toBe('--steps is "x": expected numbers, each a whole number from 1.');
    await writeFile(at("config.json"), JSON.stringify({ "ignore-memory": 1, data: 3, steps: 4 }));
    expect(await failure(2, "train", "--config", at("config.json"))).toMatch(/option "steps", which does not exist/);
    await writeFile(at("config.json"), JSON.stringify({ "ignore-memory": 1 }));
    expect(await failure(2, "train", ...tiny, "--config", at("config.json"))).toBe(
      "--ignore-memory is 1: expected true or false.",
    );
    await writeFile(at("config.json"), JSON.stringify({ data: 3 }));
    expect(await failure(2, "train", "--config", at("config.json"))).toBe("--data is 3: expected text.");
  });
});

test("what is empty or missing is called by its name", async () => {
  expect(await failure(2, "sample")).toBe("<model> is missing: a model, run or diffusers folder.");
  expect(await failure(2, "sample", "")).toBe("<model> is empty: a model, run or diffusers folder.");
  expect(await failure(2, "sample", model, "--out", "")).toBe("--out is empty: the picture.");
  expect(await failure(2, "evaluate", "", "--data", "toy:moons")).toMatch(/^<models> is empty: /);
  expect(await failure(2, "train", "--data", "")).toMatch(/^--data is empty: folder of IDX files/);
  expect(await failure(2, "train", "--config", "")).toMatch(/^--config is empty: /);
  expect(await failure(1, "train", "--resume", at("models"))).toMatch(
    /models is no run folder, which would have options\.json\. Give one like runs\//,
  );
});

test("weights that are not numbers, a teacher of another shape, a file that is no network", async () => {
  await cp(teacher, at("broken"), { recursive: true });
  const file = at("broken/unet/diffusion_pytorch_model.safetensors");
  const bytes = await readFile(file);
  bytes.writeFloatLE(Number.NaN, bytes.length - 4);
  await writeFile(file, bytes);
  expect(await failure(1, "info", at("broken"))).toBe(
    `${file} holds NaN among its weights, so it is damaged. Get it again.`,
  );
  const evaluate = (...args: string[]) =>
    failure(1, "evaluate", model, "--data", "toy:moons@64", "--out", at("out"), ...args);
  expect(await evaluate("--teacher", teacher)).toMatch(
    /^mnist-teacher makes samples of 1 x 28 x 28, .* of 2; expected the same\.$/,
  );
  await writeFile(at("features.onnx"), "not this");
  expect(await evaluate("--features", at("features.onnx"))).toMatch(
    /features\.onnx cannot be used for --features: .* Expected an \.onnx file\.$/,
  );
  const odd = ["evaluate", model, "--data", "toy:moons@64", "--out", at("out"), "--features"];
  const said = await failure(2, ...odd, `${at("features.onnx")}?range=0..2&rounded=maybe&crop=1`);
  for (const name of ["range", "rounded", "crop"]) expect(said).toContain(name);
});

test("a run that cannot go on keeps its options", async () => {
  const options = await readFile(join(model, "options.json"), "utf8");
  expect(await failure(2, "train", "--resume", model, "--images", "8")).toMatch(
    /00000-flow-matching-\S+ cannot go on: flow-matching has seen 16 images already, more than the budget's 8\. Give more --images\.$/,
  );
  expect(await readFile(join(model, "options.json"), "utf8")).toBe(options);
  await cp(model, at("odd"), { recursive: true });
  await writeFile(at("odd/options.json"), "[]");
  expect(await failure(2, "train", "--resume", at("odd"))).toBe(
    `${at("odd/options.json")} is no set of options: expected an object like {"batch": 64}.`,
  );
});

test("a reader that goes away, and a full output, end without a stack", () => {
  const main = `"${process.execPath}" --import tsx "${join(root, "src/cli/main.ts")}"`;
  const shell = (command: string) => spawnSync("bash", ["-c", command], { cwd: root, encoding: "utf8" });
  const { stderr, stdout } = shell(`${main} train --help | head -c 0; echo "\${PIPESTATUS[0]}"`);
  expect([stderr, stdout]).toEqual(["", "0\n"]);
  if (process.platform !== "linux") return;
  const full = shell(`${main} --version > /dev/full`);
  expect(full.stderr).toMatch(/^Error: The output cannot be written: .*the disk is full\. [^\n]*\n$/);
  expect(full.status).toBe(1);
});

test("no run is begun for pairs that have no room", async () => {
  const command = ["accelerate", teacher, "--method", "rectified-diffusion", "--data", mnist, "--out", at("pairs")];
  expect(await failure(2, ...command, "--pairs-mb", "0.0001")).toMatch(/has no room for a single pair of 6280 bytes/);
  await expect(readdir(at("pairs"))).rejects.toThrow("ENOENT");
});
