// ONNX Runtime's usage data: nothing is collected, and nothing tries to leave, while a model is trained. The trace of system
// calls is strace's; with CI=true a machine without it is a failure.
import { spawn, spawnSync } from "node:child_process";
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { root, scratch } from "./fewstep.ts";

const { at } = scratch();
const { ORT_DISABLE_TELEMETRY: _, ...clean } = process.env;

/** The trace of a command, whose connections all fail, so that also the test sends nothing. */
const strace = (file: string, ...command: string[]) => [
  ...["strace", "-f", "-qq", "-e", "signal=none", "-e", "trace=connect,sendto,sendmsg,sendmmsg"],
  ...["-e", "inject=connect:error=ENETUNREACH", "-o", file, ...command],
];
const works = (() => {
  const [program, ...args] = strace("/dev/null", "true");
  return process.platform === "linux" && spawnSync(program, args).status === 0;
})();
const needs = "needs strace, and Linux";
if (!works)
  test.runIf(process.env.CI === "true")("strace works here", () =>
    expect.fail("CI needs strace: apt-get install strace."),
  );

interface Seen {
  /** Calls that lead out of the machine, or to another process. */
  readonly calls: readonly string[];
  /** What was left in the user's folders. */
  readonly files: readonly string[];
}

/** Trains for some seconds: ONNX Runtime waits before it sends. */
async function traced(name: string, env: NodeJS.ProcessEnv): Promise<Seen> {
  const folders = Object.fromEntries(["HOME", "XDG_CACHE_HOME", "TMPDIR"].map((key) => [key, at(name, key)]));
  for (const folder of Object.values(folders)) await mkdir(folder, { recursive: true });
  const training =
    "train --data toy:moons@64 --form linear --width 8 --depth 1 --batch 8 --preview-every 0 --images 64000";
  const main = [process.execPath, "--import", "tsx", join(root, "src/cli/main.ts"), "--threads", "1", "--quiet"];
  const [program, ...args] = strace(at(name, "trace"), ...main, ...training.split(" "), "--out", at(name, "runs"));
  const child = spawn(program, args, { cwd: root, env: { ...clean, ...folders, ...env }, stdio: "ignore" });
  expect(await new Promise((done) => child.on("close", done)), "trained").toBe(0);
  // tsx, which runs the sources, keeps its own cache and asks a socket of its own.
  const calls = (await readFile(at(name, "trace"), "utf8"))
    .split("\n")
    .filter((line) => /\bsa_family=|\bmsg_name=/.test(line) && !/sun_path="[^"]*tsx-/.test(line));
  const lists = await Promise.all(Object.values(folders).map((folder) => readdir(folder, { recursive: true })));
  return { calls, files: lists.flat().filter((file) => !file.startsWith("tsx-")) };
}

test.skipIf(!works)(`a training leaves no file and tries no connection (${needs})`, { timeout: 300_000 }, async () => {
  expect(await traced("plain", {})).toEqual({ calls: [], files: [] });
});

test.skipIf(!works)(`who sets the variable keeps the value: 0 collects (${needs})`, { timeout: 300_000 }, async () => {
  const { calls, files } = await traced("asked", { ORT_DISABLE_TELEMETRY: "0" });
  expect(files.filter((file) => /deviceid$|onnxruntime\.db$|^mat-debug-\d+\.log$/.test(file)).length).toBe(3);
  expect(calls.filter((line) => /sa_family=AF_INET/.test(line)).length).toBeGreaterThan(0);
});
