#!/usr/bin/env node
// The command `fewstep`. Ctrl-C ends a command at the next safe point; a second one ends it at once.
import { commands } from "./commands/index.ts";
import { exitCode } from "./failure.ts";
import { runProgram } from "./program.ts";

const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.on(signal, () => {
    if (stop.signal.aborted) process.exit(exitCode.interrupted);
    stop.abort();
  });
process.exitCode = await runProgram(commands, process.argv.slice(2), process, stop.signal);
