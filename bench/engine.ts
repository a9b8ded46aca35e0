// Times our programs and PyTorch's on the same weights and inputs, in alternation, after checking that they agree.
// npm run bench:engine -- [--json file] [--cases a,b] [--rounds n] [--threads n] [--python path] [--no-memory]
//   [--device webgpu] [--precision float16]: on a graphics card, against PyTorch on the same one (CUDA or MPS)
//   [--rivals folder] [--rival-seconds s]: jax-js and TensorFlow.js too, where they are installed (0 s: not)

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, freemem, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { Runtime } from "../src/runtime/index.ts";
import { nodeRuntime } from "../src/runtime/node.ts";
import { agreement, curveDistance, curveSteps } from "./agree.ts";
import { alternate } from "./alternate.ts";
import { type Case, caseNames, isCase, openCase, type Phase, phases } from "./cases.ts";
import { writeCase } from "./exchange.ts";
import { convolutionSpeed, learningRate, matmulSpeed, prepare } from "./ours.ts";
import { findRival, missingRivals, rivalNames } from "./rivals/find.ts";
import { measureRivals, printedRivals, type Setting } from "./rivals/measure.ts";
import { heading, median, printed, quantile, type Row } from "./table.ts";
import { findPython, startTorch } from "./torch.ts";

process.on("uncaughtException", (error) => {
  console.error(`Error: ${error.message}`);
  process.exit(2);
});
const { values: options } = parseArgs({
  options: {
    json: { type: "string" },
    cases: { type: "string", default: "demo-unet,unet,dit,mlp,sd-unet" },
    phases: { type: "string", default: phases.join() },
    rounds: { type: "string", default: "7" },
    threads: { type: "string", default: String(availableParallelism()) },
    python: { type: "string" },
    device: { type: "string", default: "cpu" },
    precision: { type: "string", default: "float32" },
    "channels-last": { type: "boolean", default: false },
    rivals: { type: "string" },
    "rival-seconds": { type: "string", default: "120" },
    "no-memory": { type: "boolean", default: false },
  },
});
const rounds = Number(options.rounds);
const device = oneOf("--device", options.device, ["cpu", "webgpu", "cuda"] as const);
const precision = oneOf("--precision", options.precision, ["float32", "float16"] as const);
const half = precision === "float16";
const threads = Number(options.threads);
const names = options.cases.split(",").map((name) => {
  if (!isCase(name)) throw new Error(`There is no case "${name}". Cases: ${caseNames.join(", ")}.`);
  return name;
});
if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`--rounds ${options.rounds}: expected 1 or more.`);

const python = findPython(options.python);
const torch = python ? startTorch(python, threads) : null;
const folder = mkdtempSync(join(tmpdir(), "fewstep-bench-"));
try {
  const runtime = nodeRuntime({ threads, device });
  const cpu = device === "cpu" ? null : nodeRuntime({ threads });
  const hello = await torch?.ask({ do: "hello", threads, gpu: device !== "cpu", half });
  const product = Math.max(await matmulSpeed(runtime), await matmulSpeed(runtime));
  const convolution = Math.max(await convolutionSpeed(runtime), await convolutionSpeed(runtime));
  const theirs = Math.max(hello?.matmul ?? 0, (await torch?.ask({ do: "matmul" }))?.matmul ?? 0);
  // A PyTorch on the reference BLAS or on another device loses to anything: it is timed, but no ratio is made of it.
  const sameDevice = device === "cpu" || (hello?.device ?? "cpu") !== "cpu";
  const fair = sameDevice && (device !== "cpu" || theirs > 0.4 * product);
  const peak = Math.max(product, convolution, theirs);
  console.log(
    `ONNX Runtime: ${device === "cpu" ? `${threads} threads` : device}, ${precision}, matrix product ${product.toFixed(0)}, convolution ${convolution.toFixed(0)} GFLOP/s`,
  );
  console.log(
    hello
      ? `PyTorch ${hello.torch} (${python}): ${hello.device === "cpu" ? `${hello.threads} threads` : hello.device}, matrix product ${theirs.toFixed(0)} GFLOP/s${fair ? "" : `. It ${sameDevice ? "has no fast BLAS" : "finds no graphics card"}: no ratio is given`}`
      : "No Python that imports torch was found (--python names one): only our side is timed.",
  );
  const rivals = rivalSetting(runtime);
  console.log(heading());
  const rows: Row[] = [];
  for (const name of names) {
    const c = openCase(name);
    const available = process.availableMemory?.() ?? freemem();
    if (c.large && available < 14e9) {
      console.log(`${name}: skipped, it needs 14 GB of free memory and there are ${(available / 1e9).toFixed(1)}.`);
      continue;
    }
    const theta = c.weights();
    const file = join(folder, `${name}.safetensors`);
    if (torch) writeCase(file, c, theta);
    await torch?.ask(opening(c, file));
    for (const phase of c.phases.filter((p) => options.phases.split(",").includes(p))) {
      const prepared = await prepare(runtime, c, phase, theta, { precision });
      const out = join(folder, "out.f32");
      const difference = await agreement(prepared, torch, { c, phase, theta, out, half });
      const timed = await alternate(prepared, torch, c.large ? Math.min(rounds, 2) : rounds);
      const work = prepared.flops;
      const rivalRows = rivals && !c.large ? await measureRivals(rivals, c, phase, theta, prepared) : null;
      await prepared.dispose();
      const oursMs = median(timed.ours.map((t) => t.ms));
      const ratios = timed.torch.map((t, i) => timed.ours[i].ms / t.ms);
      const compared = torch !== null && fair;
      const curve = cpu && phase === "step" ? await curveDistance(cpu, runtime, { c, theta, precision }) : null;
      const memory =
        options["no-memory"] || device !== "cpu" ? { ours: null, theirs: null } : await memoryOf(c, phase, file);
      const row: Row = {
        case: name,
        phase,
        oursMs,
        torchMs: torch ? median(timed.torch.map((t) => t.ms)) : null,
        ratio: compared ? median(ratios) : null,
        quartiles: compared ? [quantile(ratios, 0.25), quantile(ratios, 0.75)] : null,
        cpuRatio: compared ? median(timed.torch.map((t, i) => timed.ours[i].cpuMs / t.cpuMs)) : null,
        disturbed: timed.disturbed,
        rounds: timed.ours.length,
        peakMiB: memory.ours,
        torchPeakMiB: memory.theirs,
        gflops: work / oursMs / 1e6,
        peakGflops: peak,
        bound: torch && compared ? work / peak / 1e6 / median(timed.torch.map((t) => t.ms)) : null,
        difference,
        ...(device === "cpu" ? {} : { device, precision, curve }),
        ...(rivalRows ? { rivals: rivalRows } : {}),
      };
      rows.push(row);
      console.log(printed(row));
      if (curve !== null)
        console.log(`           losses and norms of ${curveSteps} steps: the CPU's, off by ${curve.toExponential(1)}`);
      for (const line of rivalRows ? printedRivals(rivalRows) : []) console.log(line);
      if (options.json) writeFileSync(options.json, `${JSON.stringify(rows, null, 1)}\n`);
    }
    rmSync(file, { force: true });
  }
  const worst = Math.max(0, ...rows.map((r) => r.disturbed ?? 0));
  if (worst > 0.1)
    console.log(
      `Other processes used up to ${(100 * worst).toFixed(0)} % of the processors meanwhile. With several threads that slows PyTorch more than us (its threads wait for each other in every operator): repeat on a quiet machine, or with --threads 1.`,
    );
} finally {
  torch?.close();
  rmSync(folder, { recursive: true, force: true });
}

/** The rivals that are installed; says how to install the others. Null: none, or not wanted. */
function rivalSetting(runtime: Runtime): Setting | null {
  const seconds = Number(options["rival-seconds"]);
  if (!(seconds > 0)) return null;
  if (device !== "cpu") return null;
  const found = rivalNames.filter((name) => findRival(name, options.rivals));
  const missing = rivalNames.filter((name) => !found.includes(name));
  if (missing.length > 0) console.log(missingRivals(missing));
  return found.length > 0 ? { runtime, folder: options.rivals, rivals: found, seconds, scratch: folder } : null;
}

function oneOf<T extends string>(name: string, given: string, known: readonly T[]): T {
  const found = known.find((x) => x === given);
  if (found === undefined) throw new Error(`${name} ${given}: expected one of ${known.join(", ")}.`);
  return found;
}

function opening(c: Case, file: string) {
  const order = c.spec.map((s) => s.name);
  const { family, config } = c;
  return { do: "open", family, config, names: order, file, channelsLast: options["channels-last"] };
}

/** Peak memory of each side in a process of its own. */
async function memoryOf(c: Case, phase: Phase, file: string) {
  const script = fileURLToPath(new URL("memory.ts", import.meta.url));
  const printedMiB = execFileSync(process.execPath, [...process.execArgv, script, c.name, phase, String(threads)]);
  const ours = Number.parseFloat(printedMiB.toString());
  let theirs: number | null = null;
  if (python) {
    const fresh = startTorch(python, threads);
    await fresh.ask({ do: "hello", threads });
    await fresh.ask(opening(c, file));
    await fresh.ask({ do: "prepare", phase, out: join(folder, "memory.f32"), lr: learningRate });
    await fresh.ask({ do: "time", runs: c.large ? 1 : 2, warm: 0 });
    theirs = (await fresh.ask({ do: "memory" })).mib ?? null;
    fresh.close();
  }
  return { ours: Number.isFinite(ours) ? ours : null, theirs };
}
