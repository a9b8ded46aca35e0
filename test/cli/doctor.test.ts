// What stands in the way, in a sentence: what `fewstep doctor` finds, and limits of the system that are too low to begin.
import { spawnSync } from "node:child_process";
import { copyFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { sentence } from "../../src/node/failure.ts";
import { version } from "../../src/version.ts";
import { failure, fewstep, root, scratch } from "./fewstep.ts";

const { at } = scratch();

test("doctor says what there is, as lines and as fields", async () => {
  const { code, out, err } = await fewstep("doctor");
  expect(code, err).toBe(0);
  expect(out).toMatch(
    new RegExp(`^ok {2}versions +fewstep ${version}, Node ${process.versions.node}, onnxruntime-node 1\\.`),
  );
  expect(out).toMatch(/^ok {2}memory +[\d.]+ GB of [\d.]+ GB are free/m);
  expect(out).toMatch(/^ok {2}device cpu +works, also with --precision float16$/m);
  expect(out).toMatch(/^(ok|– ) {2}device webgpu +\S/m);
  const events = (await fewstep("doctor", "--json")).out
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(events.at(-1)).toEqual({ kind: "done", ok: true, broken: [] });
  expect(events.find(({ name }) => name === "machine")).toMatchObject({
    platform: process.platform,
    arch: process.arch,
  });
  expect(events.find(({ name }) => name === "device cpu")).toMatchObject({ ok: true, float32: true, float16: true });
});

test.skipIf(process.platform !== "linux")(
  "a limit that is too small (as Linux tells it) is a failure with everything else said",
  { timeout: 120_000 },
  async () => {
    const main = join(root, "src/cli/main.ts");
    const command = `ulimit -n 250; exec "${process.execPath}" --import tsx "${main}" doctor`;
    const { status, stdout, stderr } = spawnSync("bash", ["-c", command], { cwd: root, encoding: "utf8" });
    if (/EMFILE/.test(stderr)) expect.fail("The limit of the test is too low to load the sources.");
    expect(stdout).toMatch(/^NO {2}limits +250 open files, .*; ulimit -n should be 256 or more$/m);
    expect(stdout).toMatch(/^ok {2}device cpu/m);
    expect(stderr).toContain("Error: fewstep cannot work well here: limits (see above).");
    expect(status).toBe(1);
  },
);

test.skipIf(process.platform === "win32")(
  "bin/fewstep.js: too few files, too little memory (limits are POSIX's)",
  async () => {
    await mkdir(at("bin"));
    await mkdir(at("dist/cli"), { recursive: true });
    await writeFile(at("package.json"), '{"type":"module"}');
    await copyFile(join(root, "bin/fewstep.js"), at("bin/fewstep.js"));
    // As many modules as fewstep has, all open at once.
    const modules = Array.from({ length: 200 }, (_, i) => `m${i}.js`);
    for (const name of modules) await writeFile(at("dist/cli", name), "export {};");
    await writeFile(at("dist/cli/main.js"), modules.map((name) => `import "./${name}";`).join("\n"));
    const start = (limit: string) => {
      const command = `${limit}exec "${process.execPath}" "${at("bin/fewstep.js")}"`;
      const { status, stderr } = spawnSync("bash", ["-c", command], { encoding: "utf8" });
      return { status, stderr };
    };
    expect(start("")).toEqual({ status: 0, stderr: "" });
    expect(start("ulimit -n 40; ")).toEqual({
      status: 1,
      stderr:
        "Error: Too many files are open: the limit is too low to load fewstep. Raise it, for example with: ulimit -n 1024.\n",
    });
    if (process.platform !== "linux") return;
    expect(start("ulimit -v 1200000; ")).toEqual({
      status: 1,
      stderr:
        "Error: The address space is limited to 1.1 GiB, and fewstep needs at least 1.5. Raise it, for example with: ulimit -v unlimited.\n",
    });
  },
);

test.each([
  ["Array buffer allocation failed", /^There is not enough memory for this\. Take a smaller --batch/],
  ["std::bad_alloc", /^There is not enough memory/],
  ["libonnxruntime.so.1: failed to map segment from shared object", /^There is not enough memory/],
])("%s is a sentence", (message, expected) => {
  expect(sentence(new RangeError(message))).toMatch(expected);
  expect(sentence(Object.assign(new Error("EMFILE: x"), { code: "EMFILE", path: "a.png" }))).toBe(
    "a.png: too many files are open. Raise the limit, for example with: ulimit -n 1024.",
  );
});

test("a model without prompts: network, memory and time, and what is not asked of it", {
  timeout: 60_000,
}, async () => {
  const teacher = join(root, "assets/mnist-teacher");
  const { code, out, err } = await fewstep("doctor", teacher, "--steps", "8", "--guidance", "2", "--batch", "4");
  expect(code, err).toBe(0);
  expect(out).toMatch(/ok {2}model +unet2d, 687,473 parameters, samples of 1 x 28 x 28/);
  expect(out).toMatch(/ok {2}memory +about 0\.\d GB for 4 samples at a time/);
  expect(out).toMatch(/time +about .* for 4 samples at a time with ddim, 8 steps, guidance 2: /);
  expect(await failure(2, "doctor", teacher, "--width", "64", "--tiling")).toBe(
    `--width and --tiling belong to text-to-image models, and ${teacher} is none.`,
  );
});
