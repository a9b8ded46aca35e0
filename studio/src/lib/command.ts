// The command that repeats what was trained in the page.
import { TEACHER } from "./models.ts";

export interface Repeat {
  readonly method: string;
  readonly data: { readonly name: string; readonly own: boolean };
  /** What was given, by flag; the preset has the rest. */
  readonly options: Readonly<Record<string, string>>;
  readonly seed: number;
  /** The options of the run as they hold. */
  readonly resolved?: Readonly<Record<string, unknown>>;
}

const safe = (text: string): string => (/^[\w:.@/+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

/** For a shell. Own points are no data that the command line reads, which a comment says. */
export function commandOf({ method, data, options, seed }: Repeat): string {
  const flags = Object.entries(options)
    .filter(([, value]) => value !== "")
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([flag, value]) => (value === "true" ? `--${flag}` : `--${flag} ${safe(value)}`));
  const from = data.own ? "<your points>" : `toy:${data.name}`;
  const what =
    method === TEACHER
      ? [
          "train",
          `--data ${data.own ? from : safe(from)}`,
          "--form cosine --prediction v --width 64 --depth 3",
          "--batch 256 --lr 0.002 --ema 0.99 --warmup 50",
        ]
      : ["accelerate teacher", `--method ${method}`, `--data ${data.own ? from : safe(from)}`, "--preset small"];
  const images = method === TEACHER && !("images" in options) ? ["--images 307200"] : [];
  const command = ["fewstep", ...what, ...images, ...flags, `--seed ${seed}`].join(" ");
  return data.own
    ? `# Points drawn or dropped in are in points.csv; the command line has no reader for them yet.\n${command}`
    : command;
}
