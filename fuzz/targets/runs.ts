// Files of a run folder: the state, the result of a stage, the log, the options, the lock.
import { readFileSync, utimesSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { describePath } from "../../src/cli/commands/info.ts";
import { loadResult, loadState, saveResult, saveState, stateFile } from "../../src/node/checkpoint.ts";
import { acquireLock, LOCK_FILE } from "../../src/node/lock.ts";
import { readLog, rewindLog, runAt } from "../../src/node/runDir.ts";
import type { Progress } from "../../src/run/job.ts";
import { unclear } from "../../test/reports/cases.ts";
import type { Json } from "../mutate.ts";
import * as mutate from "../mutate.ts";
import type { Rng } from "../random.ts";
import { inFolder } from "../scratch.ts";
import { difference, type Target, utf8 } from "../target.ts";
import { jsonInput } from "./configs.ts";
import { joined } from "./safetensors.ts";

const identity = { teacher: "ab".repeat(32), data: "cd".repeat(32) };
const values = (seed: number, n = 3) => Float32Array.from({ length: n }, (_, i) => Math.fround(Math.sin(seed + i)));
const player = (seed: number, averages: readonly string[]) => ({
  updates: 7 + seed,
  theta: values(seed),
  m: values(seed + 1),
  v: values(seed + 2).map(Math.abs),
  averages: Object.fromEntries(averages.map((name, i) => [name, values(seed + 3 + i)])),
});
const progresses: readonly Progress[] = [
  { stage: 0, state: { step: 12, players: { student: player(1, ["kept"]) } }, seen: [] },
  {
    stage: 1,
    state: { step: 3, players: { student: player(2, ["kept", "target"]), critic: player(9, []) } },
    seen: [640],
  },
  {
    stage: 2,
    state: { step: 40, players: { student: player(4, ["kept"]) }, scale: { value: 65536, good: 3, skipped: 1 } },
    seen: [1, 2 ** 31],
  },
];

/** A safetensors file with its header changed as a value, as a text, or its bytes changed. */
export function changedSafetensors(rng: Rng, file: Uint8Array, other: Uint8Array): Uint8Array {
  const kind = rng.int(10);
  if (kind < 3) return mutate.bytes(rng, file, other);
  const parts = (bytes: Uint8Array) => {
    const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
    return { text: new TextDecoder().decode(bytes.subarray(8, 8 + length)), data: bytes.subarray(8 + length) };
  };
  const { text, data } = parts(file);
  const parsed = JSON.parse(text) as { [key: string]: Json };
  const given = JSON.parse(parts(other).text) as { [key: string]: Json };
  // What a file says of itself is changed as often as its tensors.
  const header =
    kind < 7
      ? { ...parsed, __metadata__: mutate.json(rng, parsed.__metadata__ ?? {}, given.__metadata__ ?? {}) }
      : mutate.json(rng, parsed, given);
  const json = utf8(kind === 9 ? mutate.text(rng, text) : mutate.jsonText(header));
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(json.length), true);
  return joined([length, json, data]);
}

const state = async (): Promise<Target> => {
  const seeds: Uint8Array[] = [];
  for (const progress of progresses)
    await inFolder({ "state/x": new Uint8Array() }, async (folder) => {
      await saveState(runAt(folder), progress, identity);
      seeds.push(new Uint8Array(readFileSync(stateFile(runAt(folder)))));
    });
  return {
    make: (rng) => ({ "state/state.safetensors": changedSafetensors(rng, rng.pick(seeds), rng.pick(seeds)) }),
    read: (files) =>
      inFolder(files, async (folder) => {
        const found = await loadState(runAt(folder), identity);
        if (found === undefined) return "a state was not seen";
        const apart = progresses.map((progress) => difference(found, progress, "the state"));
        return apart.includes(undefined) ? undefined : (apart[found.stage] ?? apart[0]);
      }),
  };
};

const stageResult = async (): Promise<Target> => {
  const spec = [{ name: "a", shape: [3], init: "zeros" as const }];
  const file = "state/stage-1.safetensors";
  const seeds: Uint8Array[] = [];
  for (const seed of [1, 2])
    await inFolder({ "state/x": new Uint8Array() }, async (folder) => {
      await saveResult(runAt(folder), 1, values(seed));
      seeds.push(new Uint8Array(readFileSync(join(folder, file))));
    });
  return {
    make: (rng) => ({ [file]: changedSafetensors(rng, rng.pick(seeds), rng.pick(seeds)) }),
    read: (files) =>
      inFolder(files, async (folder) => {
        const found = await loadResult(runAt(folder), 1, spec);
        const apart = [1, 2].map((seed) => difference([...found], [...values(seed)], "theta"));
        return apart.includes(undefined) ? undefined : apart[0];
      }),
  };
};

const line = (step: number): Json => ({ kind: "step", step, images: 8 * step, loss: 1 / step, norm: 0.5, rate: 1e-4 });
const options: Json = { command: "accelerate", method: "perflow", batch: 8, images: 64, data: "toy:moons", seed: 0 };

const log = async (): Promise<Target> => ({
  make(rng) {
    const lines = Array.from({ length: rng.int(6) }, (_, k) => {
      const value = rng.chance(0.3) ? mutate.json(rng, line(k + 1), options) : line(k + 1);
      const text = JSON.stringify(value) ?? "";
      return `${rng.chance(0.1) ? mutate.text(rng, text) : text}\n`;
    });
    const text = utf8(lines.join(""));
    return { "log.jsonl": rng.chance(0.3) ? mutate.bytes(rng, text) : text };
  },
  read: (files) =>
    inFolder(files, async (folder) => {
      const run = runAt(folder);
      const found = await readLog(run.logFile);
      const lines = new TextDecoder().decode(files["log.jsonl"]).split("\n").slice(0, -1);
      const wrong = difference(
        found,
        lines.map((text) => JSON.parse(text) as unknown),
        "the log",
      );
      if (wrong) return wrong;
      await rewindLog(run, () => true);
      return difference(await readLog(run.logFile), found, "the log written again");
    }),
});

/** What `fewstep info` says of a run folder must not be words of the language it is written in. */
const runInfo = async (): Promise<Target> => ({
  make(rng) {
    const changed = rng.chance(0.5);
    return {
      "options.json": changed ? jsonInput(rng, [options]).file : utf8(JSON.stringify(options)),
      "log.jsonl": utf8(
        `${JSON.stringify(line(1))}\n${JSON.stringify(changed ? line(2) : mutate.json(rng, line(2), options))}\n`,
      ),
    };
  },
  read: (files) =>
    inFolder(files, async (folder) => {
      const { text, fields } = await describePath(folder);
      const raw = text
        .split("\n")
        .flatMap((said) => unclear(said) ?? (/\bNaN (images|parameters)|of step NaN/.test(said) ? "NaN" : []))[0];
      if (raw !== undefined) return `it says ${raw}: ${text.slice(0, 200)}`;
      const { method, ...rest } = Object(fields.options) as Record<string, unknown>;
      const given = JSON.parse(new TextDecoder().decode(files["options.json"])) as Record<string, unknown>;
      return difference({ method, ...rest }, { method: undefined, ...given }, "options");
    }),
});

const lock = async (): Promise<Target> => {
  // As proc(5) says it: the twenty-second field, of which the second may hold anything, since this start of the system.
  const [, fields = ""] = readFileSync(`/proc/${process.pid}/stat`, "utf8").split(") ");
  const began = `${readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()} ${fields.split(" ")[19]}`;
  const holder = (pid: number, host = hostname()): Json => ({
    ...{ host, pid, began, command: "train --data d", token: "0123456789abcdef" },
  });
  // The largest number that Linux gives, and that this system surely has not.
  const dead = 4194304;
  return {
    make(rng) {
      const seeds = [holder(process.pid), holder(dead), holder(dead, "elsewhere"), holder(1)];
      const text = jsonInput(rng, seeds).file;
      return { [LOCK_FILE]: rng.chance(0.1) ? mutate.bytes(rng, text) : text, old: utf8(rng.chance(0.5) ? "1" : "") };
    },
    read: (files) =>
      inFolder(files, async (folder) => {
        const path = join(folder, LOCK_FILE);
        if (files.old.length > 0) utimesSync(path, 1, 1);
        const held = await acquireLock(folder, "test");
        const mine = JSON.parse(readFileSync(path, "utf8")) as { pid: number };
        await held.release();
        if (mine.pid !== process.pid) return "the lock is not its own";
        let said: Partial<Record<string, unknown>>;
        try {
          said = Object(JSON.parse(new TextDecoder().decode(files[LOCK_FILE]))) as typeof said;
        } catch {
          return files.old.length > 0 ? undefined : "a lock that is being written was taken";
        }
        const whole = typeof said.host === "string" && typeof said.token === "string" && Number.isInteger(said.pid);
        if (!whole || Number(said.pid) < 1) return files.old.length > 0 ? undefined : "an unreadable lock was taken";
        if (said.host !== hostname()) return "a lock of another machine was taken";
        return said.pid === process.pid && said.began === began ? "the lock of a living process was taken" : undefined;
      }),
  };
};

export const runFiles = { state, stageResult, log, runInfo, lock };
