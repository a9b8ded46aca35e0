// Gradient checkpointing: peak memory against time, each measurement in a process of its own; and how far the estimate
// of memory is off. npx tsx bench/remat.ts [--json file] [--rounds n] [--runs n] [--threads n] [--cases unet,dit:16]

import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { estimateMemory } from "../src/graph/memory.ts";
import { processBytes } from "../src/node/memory.ts";
import { nodeRuntime } from "../src/runtime/node.ts";
import { isCase, openCase, type Phase, phases, program } from "./cases.ts";
import { peakMemory, prepare } from "./ours.ts";
import { median } from "./table.ts";

interface Measured {
  readonly ms: number;
  readonly cpuMs: number;
  readonly peakMiB: number | null;
  readonly estimateMiB: number;
  readonly loss: number;
}
interface Row {
  readonly case: string;
  readonly batch: number;
  readonly phase: Phase;
  /** Without and with gradient checkpointing; medians over the rounds. */
  readonly plain: Measured;
  readonly checkpointed: Measured;
}

const { values: o } = parseArgs({
  options: {
    json: { type: "string" },
    rounds: { type: "string", default: "3" },
    runs: { type: "string", default: "3" },
    threads: { type: "string", default: String(availableParallelism()) },
    cases: { type: "string", default: "demo-unet,unet,dit,tiny-sd-unet" },
    /** Of the child process: case:batch:phase:on|off. */
    one: { type: "string" },
  },
});

/** One setting in this process. */
async function measure(what: string): Promise<Measured> {
  const [name, batch, phaseName, on] = what.split(":");
  const phase = phases.find((p) => p === phaseName);
  if (!isCase(name) || !phase) throw new Error(`There is no case "${name}" with a phase "${phaseName}".`);
  const c = openCase(name, Number(batch) || undefined);
  const theta = c.weights();
  const remat = on === "on";
  const prepared = await prepare(nodeRuntime({ threads: Number(o.threads) }), c, phase, theta, { remat });
  await prepared.run();
  const [[loss]] = await prepared.results();
  const times: { ms: number; cpuMs: number }[] = [];
  for (let i = 0; i < Number(o.runs); i++) {
    const [start, used] = [performance.now(), process.cpuUsage()];
    await prepared.run();
    const { user, system } = process.cpuUsage(used);
    times.push({ ms: performance.now() - start, cpuMs: (user + system) / 1000 });
  }
  const peakMiB = peakMemory();
  await prepared.dispose();
  // Besides the program there is the noise that moved the weights off their zeros.
  const bytes = processBytes(estimateMemory(program(c, phase, theta, { remat }))) + theta.byteLength;
  const estimateMiB = bytes / 2 ** 20;
  return { ms: median(times.map((t) => t.ms)), cpuMs: median(times.map((t) => t.cpuMs)), peakMiB, estimateMiB, loss };
}

function inProcess(what: string): Measured {
  const args = ["--one", what, "--threads", o.threads, "--runs", o.runs];
  return JSON.parse(
    execFileSync(process.execPath, [...process.execArgv, fileURLToPath(import.meta.url), ...args]).toString(),
  );
}

/** Medians; the loss must not depend on the round. */
function together(all: readonly Measured[]): Measured {
  const of = (pick: (m: Measured) => number) => median(all.map(pick));
  const peaks = all.flatMap((m) => m.peakMiB ?? []);
  return {
    ms: of((m) => m.ms),
    cpuMs: of((m) => m.cpuMs),
    peakMiB: peaks.length > 0 ? median(peaks) : null,
    estimateMiB: all[0].estimateMiB,
    loss: all[0].loss,
  };
}

function compare(spec: string): Row[] {
  const [name, given = ""] = spec.split(":");
  if (!isCase(name)) throw new Error(`There is no case "${name}".`);
  const c = openCase(name, Number(given) || undefined);
  return c.phases
    .filter((phase) => phase !== "forward")
    .map((phase) => {
      const plain: Measured[] = [];
      const checkpointed: Measured[] = [];
      for (let i = 0; i < Number(o.rounds); i++) {
        plain.push(inProcess(`${name}:${given}:${phase}:off`));
        checkpointed.push(inProcess(`${name}:${given}:${phase}:on`));
      }
      const row = {
        case: name,
        batch: c.inputs().x.shape[0],
        phase,
        plain: together(plain),
        checkpointed: together(checkpointed),
      };
      const off = Math.abs(row.checkpointed.loss - row.plain.loss) / Math.abs(row.plain.loss);
      if (!(off < 1e-4))
        throw new Error(`${name}: the losses differ by ${off.toExponential(1)}; expected less than 1e-4.`);
      return row;
    });
}

function printed(row: Row): string {
  const { plain: a, checkpointed: b } = row;
  const mib = (m: Measured) => m.peakMiB?.toFixed(0) ?? "-";
  const error = (m: Measured) => (m.peakMiB ? `${(100 * (m.estimateMiB / m.peakMiB - 1)).toFixed(0)} %` : "-");
  return [
    `${row.case}, batch ${row.batch}`,
    row.phase,
    `${mib(a)} → ${mib(b)}`,
    `${a.cpuMs.toFixed(0)} → ${b.cpuMs.toFixed(0)}`,
    (b.cpuMs / a.cpuMs).toFixed(2),
    (b.ms / a.ms).toFixed(2),
    `${error(a)}, ${error(b)}`,
  ].join(" | ");
}

if (o.one) console.log(JSON.stringify(await measure(o.one)));
else {
  console.log("case | phase | peak MiB | CPU ms | CPU ratio | time ratio | error of the estimate");
  const rows: Row[] = [];
  for (const spec of o.cases.split(",")) {
    for (const row of compare(spec)) {
      rows.push(row);
      console.log(printed(row));
    }
    if (o.json) writeFileSync(o.json, `${JSON.stringify(rows, null, 1)}\n`);
  }
}
