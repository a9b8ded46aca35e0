// Times our programs and PyTorch's on the same weights and inputs, in alternation, after checking that they agree.
// npm run bench:engine -- [--json file] [--cases a,b] [--rounds n] [--threads n] [--python path] [--no-memory]
//   [--rivals folder] [--rival-seconds s]: jax-js and TensorFlow.js too, where they are installed (0 s: not)

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, freemem, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { Runtime } from "../src/runtime/index.ts";
import { nodeRuntime } from "../src/runtime/node.ts";
import { alternate } from "./alternate.ts";
import { type Case, caseNames, isCase, openCase, type Phase, phases } from "./cases.ts";
import { compare, writeCase } from "./exchange.ts";
import { convolutionSpeed, learningRate, matmulSpeed, type Prepared, prepare } from "./ours.ts";
import { findRival, missingRivals, rivalNames } from "./rivals/find.ts";
import { measureRivals, printedRivals, type Setting } from "./rivals/measure.ts";
import { heading, median, printed, quantile, type Row } from "./table.ts";
import { findPython, startTorch, type Torch } from "./torch.ts";

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
    "channels-last": { type: "boolean", default: false },
    rivals: { type: "string" },
    "rival-seconds": { type: "string", default: "120" },
    "no-memory": { type: "boolean", default: false },
  },
});
const rounds = Number(options.rounds);
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
  const runtime = nodeRuntime({ threads });
  const hello = await torch?.ask({ do: "hello", threads });
  const product = Math.max(await matmulSpeed(runtime), await matmulSpeed(runtime));
  const convolution = Math.max(await convolutionSpeed(runtime), await convolutionSpeed(runtime));
  const theirs = Math.max(hello?.matmul ?? 0, (await torch?.ask({ do: "matmul" }))?.matmul ?? 0);
  // A PyTorch on the reference BLAS loses to anything: it is timed, but no ratio is made of it.
  const fair = theirs > 0.4 * product;
  const peak = Math.max(product, convolution, theirs);
  console.log(
    `ONNX Runtime: ${threads} threads, matrix product ${product.toFixed(0)}, convolution ${convolution.toFixed(0)} GFLOP/s`,
  );
  console.log(
    hello
      ? `PyTorch ${hello.torch} (${python}): ${hello.threads} threads, matrix product ${theirs.toFixed(0)} GFLOP/s${fair ? "" : ". It has no fast BLAS: no ratio is given"}`
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
      const prepared = await prepare(runtime, c, phase, theta);
      const difference = await agreement(prepared, torch, c, phase, theta);
      const timed = await alternate(prepared, torch, c.large ? Math.min(rounds, 2) : rounds);
      const work = prepared.flops;
      const rivalRows = rivals && !c.large ? await measureRivals(rivals, c, phase, theta, prepared) : null;
      await prepared.dispose();
      const oursMs = median(timed.ours.map((t) => t.ms));
      const ratios = timed.torch.map((t, i) => timed.ours[i].ms / t.ms);
      const compared = torch !== null && fair;
      const memory = options["no-memory"] ? { ours: null, theirs: null } : await memoryOf(c, phase, file);
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
        ...(rivalRows ? { rivals: rivalRows } : {}),
      };
      rows.push(row);
      console.log(printed(row));
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
  const found = rivalNames.filter((name) => findRival(name, options.rivals));
  const missing = rivalNames.filter((name) => !found.includes(name));
  if (missing.length > 0) console.log(missingRivals(missing));
  return found.length > 0 ? { runtime, folder: options.rivals, rivals: found, seconds, scratch: folder } : null;
}

function opening(c: Case, file: string) {
  const order = c.spec.map((s) => s.name);
  const { family, config } = c;
  return { do: "open", family, config, names: order, file, channelsLast: options["channels-last"] };
}

/** Runs both once; throws where they do not compute the same. Returns the largest difference, moved weights aside. */
async function agreement(ours: Prepared, other: Torch | null, c: Case, phase: Phase, theta: Float32Array) {
  await ours.run();
  if (!other) return null;
  const out = join(folder, "out.f32");
  await other.ask({ do: "prepare", phase, out, lr: learningRate });
  const differences = compare(ours.results(), out, theta);
  for (const { what, relative, allowed } of differences)
    if (!(relative <= allowed))
      throw new Error(
        `${c.name}, ${phase}: the ${what} differs from PyTorch's by ${relative.toExponential(1)} (allowed ${allowed}): nothing to time.`,
      );
  return Math.max(...differences.slice(0, 2).map((d) => d.relative));
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
