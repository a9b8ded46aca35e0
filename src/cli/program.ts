// From command line arguments to a command and an exit code.
import { Command as Commander, CommanderError, Option } from "commander";
import { z } from "zod";
import { Interrupted, sentence, UsageError, usage } from "../node/failure.ts";
import { isList, parseOptions } from "../node/options.ts";
import type { Reporter } from "../node/reporter.ts";
import { optionsIn, withRun } from "../node/resume.ts";
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
  { name, options, mayChange }: Command,
  flags: Readonly<Record<string, unknown>>,
  config: string | undefined,
): Promise<Record<string, unknown>> {
  const of = { name, mayChange, schema: z.object({ ...globals.shape, ...options.shape }) };
  if (config === "") throw new UsageError("--config is empty: a JSON file with options.");
  const base = config === undefined ? {} : await optionsIn(config, "is for", of);
  return withRun(of, { ...base, ...flags });
}

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
