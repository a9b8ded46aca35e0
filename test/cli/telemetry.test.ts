// ONNX Runtime's usage data: nothing is collected, and nothing tries to leave, while a model is trained. The trace of system
// calls is strace's; with CI=true a machine without it is a failure.
import { spawn, spawnSync } from "node:child_process";
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { root, scratch } from "./fewstep.ts";

const { at } = scratch();
// ONNX Runtime sends nothing where it finds CI set: a user's machine has it not.
const { ORT_DISABLE_TELEMETRY: _, CI: __, ...clean } = process.env;

/** The trace of a command, whose connections all fail, so that also the test sends nothing. */
const strace = (file: string, ...command: string[]) => [
  ...["strace", "-f", "-qq", "-e", "signal=none", "-e", "trace=execve,connect,sendto,sendmsg,sendmmsg"],
  ...["-e", "inject=connect:error=ENETUNREACH", "-o", file, ...command],
];
const works = (() => {
  const [program, ...args] = strace("/dev/null", "true");
  return process.platform === "linux" && spawnSync(program, args).status === 0;
})();
if (!works)
  test.runIf(process.env.CI === "true")("strace works here", () =>
    expect.fail("CI needs strace: apt-get install strace."),
  );

interface Seen {
  /** Calls that lead out of the machine, or to another process. */
  readonly calls: readonly string[];
  /** What was left in the user's folders. */
  readonly files: readonly string[];
  readonly seconds: number;
}

/** Trains until `enough` of what was seen, which is asked every half second. */
async function traced(name: string, env: NodeJS.ProcessEnv, enough: (seen: Seen) => boolean): Promise<Seen> {
  const folders = Object.fromEntries(["HOME", "XDG_CACHE_HOME", "TMPDIR"].map((key) => [key, at(name, key)]));
  for (const folder of Object.values(folders)) await mkdir(folder, { recursive: true });
  const main = [process.execPath, "--import", "tsx", join(root, "src/cli/main.ts"), "--threads", "1", "--quiet"];
  const training = "train --data toy:moons@64 --form linear --width 8 --depth 1 --batch 8 --preview-every 0".split(" ");
  const budget = ["--images", "80000000", "--out", at(name, "runs")];
  const [program, ...args] = strace(at(name, "trace"), ...main, ...training, ...budget);
  const child = spawn(program, args, { cwd: root, env: { ...clean, ...folders, ...env }, stdio: "ignore" });
  const ended = new Promise((done) => child.on("close", done));
  const begin = performance.now();
  const trace = () => readFile(at(name, "trace"), "utf8").catch(() => "");
  const look = async (): Promise<Seen> => {
    const lists = await Promise.all(Object.values(folders).map((folder) => readdir(folder, { recursive: true })));
    return {
      // tsx, which runs the sources, has a cache of its own and asks for a socket in it.
      calls: (await trace())
        .split("\n")
        .filter((line) => /\bsa_family=/.test(line) && !/sun_path="[^"]*tsx-/.test(line)),
      files: lists.flat().filter((file) => !file.startsWith("tsx-")),
      seconds: (performance.now() - begin) / 1000,
    };
  };
  let seen = await look();
  while (!enough(seen) && child.exitCode === null) {
    await sleep(500);
    seen = await look();
  }
  process.kill(Number.parseInt(await trace(), 10), "SIGINT");
  expect(await ended, "interrupted").toBe(130);
  expect(await readdir(at(name, "runs")), "it was training").toEqual([expect.stringMatching(/^00000-flow-matching/)]);
  return { ...(await look()), seconds: seen.seconds };
}

const left = /(^|\/)(deviceid|onnxruntime\.db|mat-debug-\d+\.log)$/;
const asks = ({ calls }: Seen) => calls.some((line) => /sa_family=AF_INET/.test(line));

test.skipIf(!works)(
  "trainings collect and send nothing, unless asked to (needs strace)",
  { timeout: 400_000 },
  async () => {
    // Who sets the variable keeps the value. This is also how long ONNX Runtime waits before it sends.
    const asked = await traced("asked", { ORT_DISABLE_TELEMETRY: "0" }, (seen) => asks(seen) || seen.seconds > 60);
    expect(asked.files.filter((file) => left.test(file)).length).toBe(3);
    // When it sends is its own affair: on a loaded machine that may be later, and then its files are what is compared.
    if (!asks(asked)) console.log("ONNX Runtime tried no connection within a minute here: only its files were seen.");
    const plain = await traced("plain", {}, ({ seconds }) => seconds > (asks(asked) ? 1.5 : 0.5) * asked.seconds);
    expect(plain).toMatchObject({ calls: [], files: [] });
  },
);
