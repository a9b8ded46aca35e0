// npm run bench:against -- --against <folder>: PeRFlow's training step on the MNIST teacher's U-Net, here and in another
// checkout of this repository (an older commit, with its own node_modules), in turns. Each turn is a process of its own
// that trains for some steps by the command line, which both have; what counts is the time between two steps.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { whole } from "./numbers.ts";
import { median } from "./table.ts";

const { values } = parseArgs({
  options: {
    against: { type: "string" },
    rounds: { type: "string", default: "6" },
    steps: { type: "string", default: "24" },
    batch: { type: "string", default: "32" },
    threads: { type: "string", default: String(availableParallelism()) },
    json: { type: "boolean", default: false },
  },
});
if (values.against === undefined) throw new Error("--against is missing: the folder of another checkout.");
const here = resolve(import.meta.dirname, "..");
const there = resolve(values.against);
for (const folder of [here, there])
  for (const needed of ["src/cli/main.ts", "node_modules/tsx", "assets/mnist-teacher", "assets/mnist-small"])
    if (!existsSync(join(folder, needed))) throw new Error(`${folder} has no ${needed}. Run npm ci there.`);
const [rounds, steps, batch, threads] = (["rounds", "steps", "batch", "threads"] as const).map((name) =>
  whole(name, values[name]),
);
/** The first steps compile, and fill caches. */
const WARM = 4;
if (steps < WARM + 4) throw new Error(`--steps is ${steps}: expected at least ${WARM + 4}.`);

/** Milliseconds of every step of a training in that checkout, the first few left out. */
async function turn(folder: string, out: string): Promise<number[]> {
  const images = String(steps * batch);
  const args = [
    ...["--import", join(folder, "node_modules/tsx/dist/loader.mjs"), "src/cli/main.ts"],
    ...["--json", "--threads", String(threads), "--seed", "1", "accelerate", "assets/mnist-teacher"],
    ...["--method", "perflow", "--data", "assets/mnist-small", "--batch", String(batch), "--images", images],
    ...["--save-every", images, "--preview-every", "0", "--out", out],
  ];
  const env = { ...process.env, ORT_DISABLE_TELEMETRY: "1" };
  const child = spawn(process.execPath, args, { cwd: folder, env, stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  child.stderr.on("data", (data) => {
    said += String(data);
  });
  const ended = new Promise<number | null>((done) => child.on("close", done));
  const marks: number[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    const now = performance.now();
    if ((JSON.parse(line) as { kind?: string }).kind === "step") marks.push(now);
  }
  if ((await ended) !== 0) throw new Error(`The training in ${folder} failed: ${said.trim()}`);
  // The last step also saves.
  return marks.slice(WARM, -1).map((mark, i) => mark - marks[WARM - 1 + i]);
}

const out = await mkdtemp(join(tmpdir(), "fewstep-against-"));
try {
  const ratios: number[] = [];
  const times: { here: number; there: number }[] = [];
  for (let round = 0; round < rounds; round++) {
    const order = round % 2 === 0 ? [here, there] : [there, here];
    const found = new Map<string, number>();
    for (const folder of order) found.set(folder, median(await turn(folder, out)));
    const pair = { here: found.get(here) ?? Number.NaN, there: found.get(there) ?? Number.NaN };
    times.push(pair);
    ratios.push(pair.here / pair.there);
    if (!values.json)
      console.log(`round ${round + 1}: ${pair.here.toFixed(1)} ms here, ${pair.there.toFixed(1)} ms there`);
  }
  const ratio = median(ratios);
  if (values.json) console.log(JSON.stringify({ batch, threads, steps, ratio, ratios, times }));
  else
    console.log(
      `perflow, a step of ${batch} on the demo's U-Net, ${threads} threads: ${ratio.toFixed(3)} of the other checkout's time (${Math.min(...ratios).toFixed(3)} to ${Math.max(...ratios).toFixed(3)})`,
    );
} finally {
  await rm(out, { recursive: true, force: true });
}
