// From command line arguments to a command and an exit code.
import { setTimeout as sleep } from "node:timers/promises";
import { Command as Commander, CommanderError, Option } from "commander";
import * as z from "zod";
import { agree, alone, type Comm, fromRoot } from "../comm.ts";
import { Interrupted, sentence, UsageError, usage } from "../node/failure.ts";
import { connectMpi } from "../node/mpi/connect.ts";
import { type Environment, type Launched, launched } from "../node/mpi/launcher.ts";
import { flagName, isList, parseOptions } from "../node/options.ts";
import { type Reporter, silent } from "../node/reporter.ts";
import { optionsIn, withRun } from "../node/resume.ts";
import type { Runtime } from "../runtime/index.ts";
import { nodeRuntime } from "../runtime/node.ts";
import { version } from "../version.ts";
import type { Command } from "./command.ts";
import { codeOf, exitCode } from "./exitCode.ts";
import { flagsOf } from "./flags.ts";
import { type Ending, endTogether, RANK_TIMEOUT, threadsOf } from "./ranks.ts";
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

/** Milliseconds in which the first of several processes has said what is wrong. */
const HESITATION = 2000;

/** Runs `fewstep` with these arguments; the result is the exit code. Nothing is thrown. */
export async function runProgram(
  commands: readonly Command[],
  args: readonly string[],
  streams: Streams,
  signal: AbortSignal = new AbortController().signal,
  env: Environment = process.env,
): Promise<number> {
  let comm: Comm = alone;
  let timeout = RANK_TIMEOUT;
  // Errors before the options are read go out in the form that they ask for all the same.
  let report = reporter(streams, { json: args.includes("--json"), quiet: false });
  let several: Launched | undefined;
  try {
    several = launched(env);
  } catch (error) {
    const [message, code] = [sentence(error), codeOf(error)];
    report.event({ kind: "error", message, code });
    streams.stderr.write(`Error: ${message}\n`);
    return code;
  }
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
    const listed = args.includes(one.name) && args.some((arg) => arg === "--help" || arg === "-h");
    const options = (listed ? one.helpFor?.(args) : undefined) ?? one.options;
    for (const option of flagsOf(options, one.positional)) sub.addOption(option);
    const examples = (one.examples ?? []).map(({ does, line }) => `  ${does}\n    fewstep ${line}`);
    if (examples.length > 0) sub.addHelpText("after", `\nExamples:\n${examples.join("\n")}`);
    sub.addOption(new Option("--config <file>", "Options from a JSON file with the same names; flags win."));
    sub.action(async (...received: unknown[]) => {
      const flags = { ...sub.opts() };
      one.positional.forEach((name, i) => {
        const value = received[i];
        if (value !== undefined && !(Array.isArray(value) && value.length === 0)) flags[name] = value;
      });
      const { config, ...given } = flags;
      if (several && several.rank > 0 && one.together === undefined) return;
      if (several && one.together === "ranks")
        comm = connectMpi(several, { timeout: () => timeout, library: env.FEWSTEP_MPI });
      const asked = { ...program.opts(), ...given };
      const options = Object.entries({ ...asked, config }).map(([name, value]) => [flagName(name), value]);
      await agree(comm, { version, command: one.name, ...inJson(options) });
      // A run that rank 0 makes must not look to the others like one that was there.
      const values = await fromRoot(comm, () => resolve(one, asked, config as string | undefined));
      if (typeof values.rankTimeout === "number") timeout = values.rankTimeout;
      const shared = parseOptions(
        globals,
        pick(values, (key) => key in globals.shape),
      );
      report = comm.rank === 0 ? reporter(streams, shared) : silent;
      const threads =
        comm.size > 1 && shared.threads === 0 ? await threadsOf(comm, (text) => report.note(text)) : shared.threads;
      let opened: Runtime | undefined;
      const open = () => usage(() => nodeRuntime({ device: shared.device, threads }));
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
            comm,
          },
        );
      } finally {
        patience.end();
      }
    });
  }
  let [ending, error]: [Ending, unknown] = [{ code: exitCode.done }, undefined];
  try {
    await program.parseAsync(args, { from: "user" });
  } catch (thrown) {
    [ending, error] = [endingOf(thrown, commands), thrown];
  }
  if (comm.size > 1) ending = await endTogether(comm, ending, error, timeout);
  else if (several && several.rank > 0 && error !== undefined) {
    // Before they know of each other all come to the same end, most likely: the first says so.
    if (error instanceof CommanderError || several.family === "none") return ending.code;
    await sleep(HESITATION);
  }
  const { code, message, kind } = ending;
  if (message !== undefined) {
    if (kind !== "help") report.event({ kind: "error", message, code });
    streams.stderr.write(`${kind === undefined ? "Error: " : ""}${message}\n`);
  }
  if (ending.abort) comm.abort(code);
  return code;
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

const inJson = (values: readonly unknown[][]): Record<string, string> =>
  Object.fromEntries(values.map(([name, value]) => [`--${name}`, JSON.stringify(value) ?? "none"]));

function endingOf(error: unknown, commands: readonly Command[]): Ending {
  if (!(error instanceof CommanderError)) {
    const ending = { code: codeOf(error), message: sentence(error) };
    return error instanceof Interrupted ? { ...ending, kind: "interrupted" } : ending;
  }
  if (error.code === "commander.help" && error.exitCode !== 0) {
    const message = `Name a command: ${commands.map(({ name }) => name).join(", ")}. See fewstep --help.`;
    return { code: exitCode.wrongUse, message, kind: "help" };
  }
  if (error.exitCode === 0) return { code: exitCode.done };
  const text = error.message.replace(/^error: /, "").replaceAll("\n", " ");
  const end = /[.?)]$/.test(text) ? "" : ".";
  return { code: exitCode.wrongUse, message: `${text.charAt(0).toUpperCase()}${text.slice(1)}${end} See --help.` };
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
