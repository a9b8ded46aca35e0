// Runs training steps: one program for every set of players that are due together, compiled when it is first needed.

import type { Comm } from "../comm.ts";
import type { HostDraws } from "../draws.ts";
import type { Precision, TensorData } from "../graph/index.ts";
import type { Player, Stage } from "../recipes/recipe.ts";
import type { Feed, Held, Program, Runtime } from "../runtime/index.ts";
import { type Reduction, reduction } from "./reduce.ts";
import { gradientProgram, type StepOptions, stateNames, stepProgram, updateProgram } from "./step.ts";

export interface StepMade {
  number(output: string): number;
  /** The new vectors of the players that moved. */
  readonly held: Readonly<Record<string, Held>>;
  /** Means of what the stage watches. */
  readonly notes: Readonly<Record<string, number>>;
}

export interface Stepper {
  draws(due: readonly Player[]): HostDraws;
  /** `drawn`: for every piece of the batch; `into`: buffers for the new vectors of these players. */
  run(
    due: readonly Player[],
    state: Readonly<Record<string, Held>>,
    drawn: Iterable<Readonly<Record<string, TensorData>>>,
    into: Readonly<Record<string, Held>>,
  ): Promise<StepMade>;
  dispose(): Promise<void>;
}

type Compiled = Program<string, string>;
interface Ready {
  readonly draws: HostDraws;
  readonly program: () => Promise<readonly Compiled[]>;
  readonly reduction?: Reduction;
}

/**
 * "fused": gradients and update in one program. "split": in two. With a `Comm` in two, and the gradients of the batch's
 * pieces are added up between them.
 */
export type Pieces = "fused" | "split" | Comm;

export function stepper(
  stage: Stage,
  runtime: Runtime,
  options: StepOptions,
  precision: Precision,
  pieces: Pieces,
): Stepper {
  const split = pieces !== "fused";
  const comm = typeof pieces === "string" ? undefined : pieces;
  const known = new Map<string, Ready>();
  const open: Compiled[] = [];
  const ready = (due: readonly Player[]): Ready => {
    const id = due.map(({ name }) => name).join();
    const found = known.get(id);
    if (found) return found;
    const { draws, outputs } = (split ? gradientProgram : stepProgram)(stage, due, options);
    let compiled: Promise<readonly Compiled[]> | undefined;
    const compile = async () => {
      const keep = due.flatMap(stateNames);
      const programs: Compiled[] = [];
      for (const [i, what] of (split ? [outputs, updateProgram(due, options)] : [outputs]).entries()) {
        // What is added up here comes to the host.
        const gradients = comm ? [] : due.map(({ name }) => `${name}.gradient`);
        const kept = split && i === 0 ? gradients : keep;
        const program = await runtime.compile<string, string>(what, { keep: kept, precision });
        open.push(program);
        programs.push(program);
      }
      return programs;
    };
    const numbers = Object.keys(outputs).filter((name) => name.endsWith(".loss") || name.startsWith("note."));
    const made: Ready = {
      draws,
      ...(comm ? { reduction: reduction(due, numbers, options.share ?? 1, comm) } : {}),
      program: () => {
        compiled ??= compile();
        return compiled;
      },
    };
    known.set(id, made);
    return made;
  };
  return {
    draws: (due) => ready(due).draws,
    async run(due, state, drawn, into) {
      const { program, reduction: sums } = ready(due);
      const [first, second] = await program();
      const fetched: Record<string, { readonly data: Held }> = {};
      let piece = 0;
      for (const one of drawn) {
        const target = sums?.into(piece) ?? (second ? {} : into);
        Object.assign(fetched, await first.run(taken(first, { ...state, ...one }), target));
        sums?.add(piece++, (output) => Number((fetched[output].data as Feed)[0]));
      }
      const reduced = await sums?.reduce();
      if (second) {
        const gradients = due.map(({ name }) => `${name}.gradient`);
        const given = reduced?.gradients ?? Object.fromEntries(gradients.map((name) => [name, fetched[name].data]));
        Object.assign(fetched, await second.run(taken(second, { ...state, ...given }), into));
        for (const name of gradients) runtime.release(fetched[name].data);
      }
      const number = (output: string) => reduced?.numbers[output] ?? Number((fetched[output].data as Feed)[0]);
      return {
        number,
        held: Object.fromEntries(due.flatMap(stateNames).map((name) => [name, fetched[name].data])),
        notes: Object.fromEntries(
          Object.keys(fetched).flatMap((name) => (name.startsWith("note.") ? [[name.slice(5), number(name)]] : [])),
        ),
      };
    },
    async dispose() {
      for (const program of open) await program.dispose();
    },
  };
}

/** A method need not use everything that there is: stored pairs have no undropped labels, say. */
function taken(program: Compiled, feeds: Readonly<Record<string, Held>>): Record<string, Held> {
  const names = new Set(
    program.inputs.map((x) => (x.source.kind === "input" ? (x.source.part?.of ?? x.source.name) : "")),
  );
  return Object.fromEntries(Object.entries(feeds).filter(([name]) => names.has(name)));
}
