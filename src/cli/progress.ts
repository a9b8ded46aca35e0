// Tells how far a run is: one line that rewrites itself on a terminal, a line now and then elsewhere.
import { formatLoss, formatSeconds, formatSpeed, grouped } from "../node/format.ts";
import type { Progress, ProgressLine } from "../node/reporter.ts";

/** Standard error, or what a test puts in its place. */
export interface ProgressOutput {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

export interface ProgressOptions {
  /** Seconds; injected for tests. */
  readonly now?: () => number;
  /** Seconds between lines where the output is not a terminal. Default 30. */
  readonly every?: number;
}

/** The speed is the one of the last seconds, so that a pause or a resumed run does not distort the time left. */
const speedWindow = 20;

export function progressLine(output: ProgressOutput, label: string, options: ProgressOptions = {}): ProgressLine {
  const { now = () => performance.now() / 1000, every = 30 } = options;
  const interval = output.isTTY ? 0.1 : every;
  let marks: { time: number; done: number }[] = [];
  let last: Progress | undefined;
  let shownAt = Number.NEGATIVE_INFINITY;
  let shown = "";
  const show = () => {
    if (!last) return;
    const [first, latest] = [marks[0], marks[marks.length - 1]];
    const speed = latest.time > first.time ? (latest.done - first.done) / (latest.time - first.time) : undefined;
    // A longer line would wrap, and a wrapped line cannot be rewritten.
    const columns = output.isTTY ? (output.columns || 80) - 1 : undefined;
    const line = formatProgress(label, last, speed, columns);
    if (line === shown) return;
    shown = line;
    shownAt = now();
    output.write(output.isTTY ? `\r${columns === undefined ? line : line.slice(0, columns)}\x1b[K` : `${line}\n`);
  };
  return {
    update(progress) {
      last = progress;
      const time = now();
      marks.push({ time, done: progress.done });
      const from = marks.findLastIndex((mark) => mark.time <= time - speedWindow);
      marks = marks.slice(Math.max(0, from));
      if (time - shownAt >= interval) show();
    },
    note(text) {
      output.write(output.isTTY ? `\r${text}\x1b[K\n` : `${text}\n`);
      if (output.isTTY) shown = "";
    },
    end() {
      show();
      if (output.isTTY && last) output.write("\n");
      last = undefined;
    },
  };
}

/**
 * "train  12,800 of 64,000 images  20 %  215 images/s  3 min 58 s left  loss 0.0123". In fewer `columns` than that takes the
 * speed goes first, then the count, the share and the end of the label: time left and loss stay.
 */
export function formatProgress(label: string, progress: Progress, speed?: number, columns = Infinity): string {
  const { done, total, loss, unit = "images" } = progress;
  const moving = speed !== undefined && speed > 0;
  const parts = {
    label,
    count: `${grouped(done)} of ${grouped(total)} ${unit}`,
    share: `${Math.floor((100 * done) / total)} %`,
    speed: moving && `${formatSpeed(speed)} ${unit}/s`,
    left: moving && done < total && `${formatSeconds((total - done) / speed)} left`,
    loss: loss !== undefined && `loss ${formatLoss(loss)}`,
  };
  const line = () => Object.values(parts).filter(Boolean).join("  ");
  for (const part of ["speed", "count", "share"] as const) if (line().length > columns) parts[part] = "";
  const over = line().length - columns;
  if (over > 0) parts.label = label.length > over + 1 ? `${label.slice(0, label.length - over - 1)}…` : "";
  return line();
}
