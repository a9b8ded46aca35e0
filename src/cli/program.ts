// From command line arguments to a command and an exit code.
import { stat } from "node:fs/promises";
import { resolve as resolvePath } from "node:path";
import { Command as Commander, CommanderError, Option } from "commander";
import { z } from "zod";
import { Interrupted, sentence, UsageError, usage } from "../node/failure.ts";
import { readJson } from "../node/files.ts";
import { isList, parseOptions, valuesIn, valuesOf } from "../node/options.ts";
import type { Reporter } from "../node/reporter.ts";
import { runAt } from "../node/runDir.ts";
import type { Runtime } from "../runtime/index.ts";
import { nodeRuntime } from "../runtime/node.ts";
import { version } from "../version.ts";
import type { Command } from "./command.ts";
import { codeOf, exitCode } from "./exitCode.ts";
import { flagsOf } from "./flags.ts";
import { reporter, type Streams } from "./reporter.ts";

const globals = z.object({
  json: z.boolean().default(false).describe("Print one JSON event per line on stdout, text on stderr."),
  device: z.enum(["cpu", "webgpu", "cuda"]).default("cpu").describe("Where networks run."),
  threads: z.int().nonnegative().max(1024).default(0).describe("Threads of one operator; 0: as many as cores."),
  seed: z.int().nonnegative().default(0).describe("Of all random numbers."),
  quiet: z.boolean().default(false).describe("Print results and errors only."),
});

/** After this many milliseconds without a word a command says that it is at work. */
const SILENCE = 800;

/** Options that say where and how loud a command runs, and not what it computes. */
const machine = ["json", "quiet", "threads", "device"];

/** Runs `fewstep` with these arguments; the result is the exit code. Nothing is thrown. */
export async function runProgram(
  commands: readonly Command[],
  args: readonly string[],
  streams: Streams,
  signal: AbortSignal = new AbortController().signal,
): Promise<number> {
  // Errors before the options are read go out in the form that they ask for all the same.
  let report = reporter(streams, { json: args.includes("--json"), quiet: false });
  const program = new Commander("fewstep")
    .description("Turn a pretrained diffusion or flow model into one that samples in a few steps.")
    .version(version)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => streams.stdout.write(text),
      writeErr: () => {},
      outputError: () => {},
    })
    .configureHelp({ showGlobalOptions: true });
  for (const option of flagsOf(globals)) program.addOption(option);
  for (const one of commands) {
    const sub = program.command(one.name).description(one.summary);
    for (const name of one.positional) {
      const type = one.options.shape[name] as z.ZodType;
      sub.argument(isList(type) ? `[${name}...]` : `[${name}]`, type.meta()?.description);
    }
    for (const option of flagsOf(one.options, one.positional)) sub.addOption(option);
    sub.addOption(new Option("--config <file>", "Options from a JSON file with the same names; flags win."));
    sub.action(async (...received: unknown[]) => {
      const flags = { ...sub.opts() };
      one.positional.forEach((name, i) => {
        const value = received[i];
        if (value !== undefined && !(Array.isArray(value) && value.length === 0)) flags[name] = value;
      });
      const { config, ...given } = flags;
      const values = await resolve(one, { ...program.opts(), ...given }, config as string | undefined);
      const shared = parseOptions(
        globals,
        pick(values, (key) => key in globals.shape),
      );
      report = reporter(streams, shared);
      let opened: Runtime | undefined;
      const open = () => usage(() => nodeRuntime({ device: shared.device, threads: shared.threads }));
      if (!one.standalone) opened = open();
      const patience = sayIfSilent(report);
      try {
        await one.run(
          pick(values, (key) => !(key in globals.shape)),
          {
            report: patience.report,
            get runtime() {
              opened ??= open();
              return opened;
            },
            signal,
            seed: shared.seed,
          },
        );
      } finally {
        patience.end();
      }
    });
  }
  try {
    await program.parseAsync(args, { from: "user" });
    return exitCode.done;
  } catch (error) {
    return fail(error, report, streams, commands);
  }
}

/** Flags over the options of a config file or of the run to resume. */
async function resolve(
  command: Command,
  flags: Readonly<Record<string, unknown>>,
  config: string | undefined,
): Promise<Record<string, unknown>> {
  const schema = z.object({ ...globals.shape, ...command.options.shape });
  if (config === "") throw new UsageError("--config is empty: a JSON file with options.");
  const read = async (path: string, what: string) => {
    const { command: made, ...options } = valuesIn(await readJson(path), path);
    if (made !== undefined && made !== command.name)
      throw new UsageError(`${path} ${what} \`fewstep ${made}\`, not \`fewstep ${command.name}\`.`);
    return valuesOf(options, path, schema);
  };
  const base = config === undefined ? {} : await read(config, "is for");
  const given: Record<string, unknown> = { ...base, ...flags };
  // The same command makes a run and goes on with it.
  if (given.resume === undefined && typeof given.run === "string" && (await exists(runAt(given.run).optionsFile)))
    given.resume = given.run;
  if (!command.mayChange || typeof given.resume !== "string") return given;
  const file = runAt(given.resume).optionsFile;
  if (!(await exists(file)))
    throw new Error(
      `${given.resume} is no run folder, which would have options.json. Give one like runs/00000-perflow-mnist-w4-b64.`,
    );
  const before = await read(file, "was started by");
  for (const [key, value] of Object.entries(given)) {
    if (key === "resume" || machine.includes(key) || command.mayChange.includes(key)) continue;
    if (!same(value, before[key]))
      throw new UsageError(
        `${given.resume} was started with ${key} ${JSON.stringify(before[key])}, so it cannot go on with ${JSON.stringify(value)}. Start a new run for that.`,
      );
  }
  return { ...before, ...given };
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

/** Options are the same also where a path is written in another way. */
const same = (a: unknown, b: unknown): boolean =>
  JSON.stringify(a) === JSON.stringify(b) ||
  (typeof a === "string" && typeof b === "string" && pathLike(a) && resolvePath(a) === resolvePath(b));
const pathLike = (text: string): boolean => /[./\\]/.test(text);

function fail(error: unknown, report: Reporter, streams: Streams, commands: readonly Command[]): number {
  if (error instanceof CommanderError) {
    if (error.code === "commander.help" && error.exitCode !== 0) {
      streams.stderr.write(`Name a command: ${commands.map(({ name }) => name).join(", ")}. See fewstep --help.\n`);
      return exitCode.wrongUse;
    }
    if (error.exitCode === 0) return exitCode.done;
    const text = error.message.replace(/^error: /, "").replaceAll("\n", " ");
    return say(
      `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.?)]$/.test(text) ? "" : "."} See --help.`,
      exitCode.wrongUse,
    );
  }
  return say(sentence(error), codeOf(error));

  function say(message: string, code: number): number {
    report.event({ kind: "error", message, code });
    streams.stderr.write(`${error instanceof Interrupted ? "" : "Error: "}${message}\n`);
    return code;
  }
}

function sayIfSilent(report: Reporter): { readonly report: Reporter; end(): void } {
  const timer = setTimeout(() => report.note("Reading and compiling …"), SILENCE);
  const end = () => clearTimeout(timer);
  const first =
    <A extends unknown[], R>(say: (...args: A) => R) =>
    (...args: A): R => {
      end();
      return say(...args);
    };
  return {
    end,
    report: {
      event: report.event,
      result: first(report.result),
      note: first(report.note),
      progress(label) {
        const line = report.progress(label);
        return { ...line, update: first(line.update), note: first(line.note) };
      },
    },
  };
}

const pick = (values: Readonly<Record<string, unknown>>, keep: (key: string) => boolean): Record<string, unknown> =>
  Object.fromEntries(Object.entries(values).filter(([key]) => keep(key)));
