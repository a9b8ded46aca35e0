// One rival in a process of its own: it may block for minutes, and its parent must be able to give up.

import { closeSync, openSync, writeSync } from "node:fs";
import { isCase, openCase, type Phase, withBatch } from "../cases.ts";
import type { RivalName } from "./find.ts";
import { type JaxForm, startJax } from "./jax.ts";
import type { About, Engine } from "./operators.ts";
import { prepareRival, type RivalRun } from "./prepare.ts";
import { startTf, type TfForm } from "./tfjs.ts";

export type Request =
  | { readonly do: "start"; readonly rival: RivalName; readonly form: string; readonly folder: string | undefined }
  | {
      readonly do: "prepare";
      readonly name: string;
      readonly phase: Phase;
      readonly batch: number;
      readonly out: string;
    }
  | { readonly do: "time"; readonly runs: number };
export interface Reply {
  readonly about?: About;
  /** Milliseconds of a run, and those of it that do not depend on the batch. */
  readonly ms?: number;
  readonly fixedMs?: number;
  /** Processor milliseconds of a run, over all threads. */
  readonly cpuMs?: number;
  /** Why there is no answer. */
  readonly error?: string;
}

type Prepare = (name: string, phase: Phase, batch: number) => RivalRun;
let prepare: Prepare | null = null;
let run: RivalRun | null = null;

async function answer(request: Request): Promise<Reply> {
  switch (request.do) {
    case "start": {
      const { rival, form, folder } = request;
      const started =
        rival === "jax-js"
          ? opened(await startJax(folder, form as JaxForm))
          : opened(await startTf(folder, form as TfForm));
      prepare = started.prepare;
      return { about: started.about };
    }
    case "prepare": {
      if (!prepare) throw new Error("Nothing was started.");
      run = prepare(request.name, request.phase, request.batch);
      const first = await time(run, 1);
      const file = openSync(request.out, "w");
      for (const x of await run.results()) writeSync(file, x);
      closeSync(file);
      // What takes a minute is not run again to warm up.
      return first.ms > 60_000 ? first : time(run, 1);
    }
    case "time":
      if (!run) throw new Error("Nothing was prepared.");
      return time(run, request.runs);
  }
}

function opened<T>(found: (About & { engine: Engine<T> }) | null): { about: About; prepare: Prepare } {
  if (!found) throw new Error("It is not installed.");
  const { engine, ...about } = found;
  return {
    about,
    prepare(name, phase, batch) {
      if (!isCase(name)) throw new Error(`There is no case "${name}".`);
      const c = withBatch(openCase(name), batch);
      return prepareRival(engine, c, phase, c.weights());
    },
  };
}

async function time(run: RivalRun, runs: number): Promise<Required<Omit<Reply, "about" | "error">>> {
  let fixed = 0;
  const begin = performance.now();
  const before = process.cpuUsage();
  for (let i = 0; i < runs; i++) fixed += await run.run();
  const { user, system } = process.cpuUsage(before);
  return { ms: (performance.now() - begin) / runs, fixedMs: fixed / runs, cpuMs: (user + system) / 1000 / runs };
}

process.on("message", (request: Request) => {
  answer(request).then(
    (reply) => process.send?.(reply),
    (error) => process.send?.({ error: error instanceof Error ? error.message : String(error) } satisfies Reply),
  );
});
