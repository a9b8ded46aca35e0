// What a command says. Without --json: results on stdout, the rest on stderr. With it: one event a line on stdout, all
// text on stderr.
import { type ProgressLine, type ProgressOutput, progressLine } from "./progress.ts";

export interface Reporter {
  /** Something that happened, for programs: printed with --json only. */
  event(event: { readonly kind: string } & Readonly<Record<string, unknown>>): void;
  /** What the command was asked for: tables, descriptions. */
  result(text: string): void;
  /** A line about what is going on; --quiet drops it. */
  note(text: string): void;
  /** A progress line on stderr; --quiet drops it. Notes go through it until its end. */
  progress(label: string): ProgressLine;
}

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

/** Says nothing: for calls from code. */
export const silent: Reporter = {
  event: () => {},
  result: () => {},
  note: () => {},
  progress: () => ({ update: () => {}, note: () => {}, end: () => {} }),
};
