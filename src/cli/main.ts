#!/usr/bin/env node
// The command `fewstep`. Ctrl-C ends a command at the next safe point; a second one ends it at once.
import { commands } from "./commands/index.ts";
import { exitCode, sentence } from "./failure.ts";
import { runProgram } from "./program.ts";

const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.on(signal, () => {
    if (stop.signal.aborted) process.exit(exitCode.interrupted);
    stop.abort();
  });
// A reader that went away (`fewstep … | head`) ends a command like Ctrl-C.
for (const stream of [process.stdout, process.stderr])
  stream.on("error", (error: NodeJS.ErrnoException) => {
    stop.abort();
    if (error.code === "EPIPE") return;
    if (stream === process.stdout) process.stderr.write(`Error: The output cannot be written: ${sentence(error)}\n`);
    process.exit(exitCode.failed);
  });
process.exitCode = await runProgram(commands, process.argv.slice(2), process, stop.signal);
