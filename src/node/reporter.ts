// What work says of itself while it goes on; the command line prints it, callers from code are told.

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

export interface Progress {
  /** What is being counted, in words. Default "images". */
  readonly unit?: string;
  readonly done: number;
  readonly total: number;
  readonly loss?: number;
}

export interface ProgressLine {
  update(progress: Progress): void;
  /** Prints a line of its own, above the progress line on a terminal. */
  note(text: string): void;
  /** Shows the last state and ends the line. */
  end(): void;
}

/** Says nothing: for calls from code. */
export const silent: Reporter = {
  event: () => {},
  result: () => {},
  note: () => {},
  progress: () => ({ update: () => {}, note: () => {}, end: () => {} }),
};
