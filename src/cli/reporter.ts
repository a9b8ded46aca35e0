// What a command says. Without --json: results on stdout, the rest on stderr. With it: one event a line on stdout, all
// text on stderr.
import type { ProgressLine, Reporter } from "../node/reporter.ts";
import { type ProgressOutput, progressLine } from "./progress.ts";

export interface Streams {
  readonly stdout: { write(text: string): unknown };
  readonly stderr: ProgressOutput;
}

export interface ReporterOptions {
  readonly json: boolean;
  readonly quiet: boolean;
}

export function reporter({ stdout, stderr }: Streams, { json, quiet }: ReporterOptions): Reporter {
  let line: ProgressLine | undefined;
  return {
    event(event) {
      if (json) stdout.write(`${JSON.stringify(event)}\n`);
    },
    result: (text) => (json ? stderr : stdout).write(`${text}\n`),
    note(text) {
      if (quiet) return;
      if (line) line.note(text);
      else stderr.write(`${text}\n`);
    },
    progress(label) {
      if (quiet) return { update: () => {}, note: () => {}, end: () => {} };
      const opened = progressLine(stderr, label);
      line = opened;
      return {
        ...opened,
        end() {
          opened.end();
          if (line === opened) line = undefined;
        },
      };
    },
  };
}
