#!/usr/bin/env node
import { sentence } from "../node/failure.ts";
import { launched } from "../node/mpi/launcher.ts";
// The command `fewstep`. Ctrl-C ends a command at the next safe point; a second one ends it at once.
import { commands } from "./commands/index.ts";
import { exitCode } from "./exitCode.ts";
import { runProgram } from "./program.ts";
import { stopOnSignals } from "./signals.ts";

/** What is wrong with the launcher's variables is said by the program. */
function rankOf(): number {
  try {
    return launched(process.env)?.rank ?? 0;
  } catch {
    return 0;
  }
}

// All ranks hear a signal, and one of them says so.
const rank = rankOf();
const { exit } = process;
const stop = stopOnSignals(
  rank === 0
    ? process
    : { on: process.on.bind(process), off: process.off.bind(process), exit, stderr: { write: () => {} } },
);
// A reader that went away (`fewstep … | head`), or a terminal that was closed, ends a command like Ctrl-C.
let closed = false;
for (const stream of [process.stdout, process.stderr])
  stream.on("error", (error: NodeJS.ErrnoException) => {
    stop.abort();
    if (error.code === "EIO" && stream.isTTY) closed = true;
    if (closed || error.code === "EPIPE") return;
    if (stream === process.stdout) process.stderr.write(`Error: The output cannot be written: ${sentence(error)}\n`);
    process.exit(exitCode.failed);
  });
process.exitCode = await runProgram(commands, process.argv.slice(2), process, stop.signal);
if (closed) {
  // Node would abort on its way out, when it sets the terminal that is gone to what it was.
  stop.dispose();
  process.kill(process.pid, "SIGHUP");
}
