// The programs of a pipeline, by what they compute and on which shapes: compiled when first needed, kept until disposed.
import type { Outputs } from "../graph/index.ts";
import type { CompileOptions, Program, Runtime } from "../runtime/index.ts";

export interface Sessions {
  /** The program of that key; `outputs` is only called where there is none yet. The key must say all shapes. */
  get<K extends string>(key: string, outputs: () => Outputs<K>): Promise<Program<K>>;
  /** Ends the programs whose keys start so: what they hold in memory is given back. */
  end(start: string): Promise<void>;
}

export function sessions(runtime: Runtime, options: Pick<CompileOptions, "precision"> = {}): Sessions {
  const programs = new Map<string, Promise<Program>>();
  return {
    get<K extends string>(key: string, outputs: () => Outputs<K>): Promise<Program<K>> {
      const known = programs.get(key) as Promise<Program<K>> | undefined;
      if (known) return known;
      const made = runtime.compile(outputs(), options);
      programs.set(key, made as unknown as Promise<Program>);
      // What failed is tried again when it is asked for again.
      made.catch(() => programs.delete(key));
      return made;
    },
    async end(start) {
      for (const [key, program] of [...programs]) {
        if (!key.startsWith(start)) continue;
        programs.delete(key);
        await (await program).dispose();
      }
    },
  };
}
