// Runs training steps: one program for every set of players that are due together, compiled when it is first needed.

import type { HostDraws } from "../draws.ts";
import type { Precision, TensorData } from "../graph/index.ts";
import type { Player, Stage } from "../recipes/recipe.ts";
import type { Feed, Held, Program, Runtime } from "../runtime/index.ts";
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
  /** `into`: buffers for the new vectors of these players. */
  run(
    due: readonly Player[],
    state: Readonly<Record<string, Held>>,
    drawn: Readonly<Record<string, TensorData>>,
    into: Readonly<Record<string, Held>>,
  ): Promise<StepMade>;
  dispose(): Promise<void>;
}

type Compiled = Program<string, string>;
interface Ready {
  readonly draws: HostDraws;
  readonly program: () => Promise<readonly Compiled[]>;
}

export function stepper(
  stage: Stage,
  runtime: Runtime,
  options: StepOptions,
  precision: Precision,
  split: boolean,
): Stepper {
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
        const kept = split && i === 0 ? due.map(({ name }) => `${name}.gradient`) : keep;
        const program = await runtime.compile<string, string>(what, { keep: kept, precision });
        open.push(program);
        programs.push(program);
      }
      return programs;
    };
    const made: Ready = {
      draws,
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
      const programs = await ready(due).program();
      let feeds: Readonly<Record<string, Held>> = { ...state, ...drawn };
      const fetched: Record<string, { readonly data: Held }> = {};
      for (const program of programs) {
        const writes = Object.fromEntries(Object.entries(into).filter(() => program === programs[programs.length - 1]));
        Object.assign(fetched, await program.run(taken(program, feeds), writes));
        feeds = { ...feeds, ...Object.fromEntries(Object.entries(fetched).map(([name, { data }]) => [name, data])) };
      }
      if (split) for (const { name } of due) runtime.release(fetched[`${name}.gradient`].data);
      const number = (output: string) => Number((fetched[output].data as Feed)[0]);
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
