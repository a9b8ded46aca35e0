// What programs that draw curves read beside log.jsonl: TensorBoard's event files, and log.csv.
import { appendFile, open, readFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { fileVersion, restartedAt, type SummaryValue, summary } from "../data/eventFile.ts";
import { readPng } from "../data/pngChunks.ts";
import { writeAtomic } from "./atomic.ts";
import { type RunDir, readLog } from "./runDir.ts";

export const logKinds = ["jsonl", "tensorboard", "csv"] as const;
export type LogKind = (typeof logKinds)[number];

/** Follows a run. */
export interface Watcher {
  /** A line that log.jsonl has got. */
  logged(event: object): Promise<void>;
  /** A picture of the model's samples, a PNG file. */
  drawn(path: string, images: number): Promise<void>;
  /** The run goes on, and log.jsonl holds nothing that will be written again. */
  rewound(): Promise<void>;
}

export function watchers(run: RunDir, kinds: readonly LogKind[]): Watcher {
  const all = [
    ...(kinds.includes("tensorboard") ? [eventFiles(run)] : []),
    ...(kinds.includes("csv") ? [csv(run)] : []),
  ];
  return {
    async logged(event) {
      for (const one of all) await one.logged(event);
    },
    async drawn(path, images) {
      for (const one of all) await one.drawn(path, images);
    },
    async rewound() {
      for (const one of all) await one.rewound();
    },
  };
}

/**
 * A file of events for every time that the run starts or goes on. Values stand at the number of images seen, which grows
 * over all stages.
 */
function eventFiles(run: RunDir): Watcher {
  const now = () => Date.now() / 1000;
  let path: string | undefined;
  const add = async (record: Uint8Array) => {
    path ??= await begun(run, fileVersion(now()));
    await appendFile(path, record);
  };
  return {
    async logged(event) {
      const values = Object.entries(columnsOf(event)).filter(([name]) => !positions.includes(name));
      const scalars = values.flatMap(([tag, scalar]) => (typeof scalar === "number" ? [{ tag, scalar }] : []));
      if (scalars.length > 0) await add(summary(scalars, imagesOf(event), now()));
    },
    async drawn(file, images) {
      const png = await readFile(file);
      const { width, height, color } = readPng(png);
      const value: SummaryValue = { tag: "samples", picture: { png, width, height, channels: channels[color] } };
      await add(summary([value], images, now()));
    },
    async rewound() {
      const last = (await readLog(run.logFile))?.findLast((event) => imagesOf(event) > 0);
      await add(restartedAt(last === undefined ? 0 : imagesOf(last) + 1, now()));
    },
  };
}

/** Of PNG's color types. */
const channels: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 3, 4: 2, 6: 4 };

/** Makes a file that no other process has. Readers take files in the order of their names, which are times. */
async function begun(run: RunDir, first: Uint8Array): Promise<string> {
  for (let time = Math.floor(Date.now() / 1000); ; time++) {
    const path = join(run.path, `events.out.tfevents.${time}.${hostname()}.fewstep`);
    const file = await open(path, "wx").catch((error: NodeJS.ErrnoException) => {
      if (error.code === "EEXIST") return undefined;
      throw error;
    });
    if (!file) continue;
    await file.writeFile(first).finally(() => file.close());
    return path;
  }
}

/** log.csv holds the steps of log.jsonl. A value that is new gets a column at the end, and the file is written again. */
function csv(run: RunDir): Watcher {
  const file = join(run.path, "log.csv");
  let columns: readonly string[] | undefined;
  const rewrite = async () => {
    const events = (await readLog(run.logFile)) ?? [];
    columns = columnNames(events);
    await writeAtomic(file, csvOf(events));
  };
  return {
    async logged(event) {
      const row = columnsOf(event);
      if (Object.keys(row).length === 0) return;
      const known = columns;
      if (known && Object.keys(row).every((name) => known.includes(name))) await appendFile(file, lineOf(row, known));
      else await rewrite();
    },
    drawn: async () => {},
    rewound: rewrite,
  };
}

/** The steps of a log as lines of values separated by commas, under their names. */
export function csvOf(events: readonly unknown[]): string {
  const columns = columnNames(events);
  const rows = events.map(columnsOf).filter((row) => Object.keys(row).length > 0);
  return [`${columns.join(",")}\n`, ...rows.map((row) => lineOf(row, columns))].join("");
}

/** What says where in a run a line is. */
const positions = ["stage", "step", "images", "seconds"];

function columnNames(events: readonly unknown[]): string[] {
  return [...new Set([...positions, "loss", "norm", "rate", ...events.flatMap((e) => Object.keys(columnsOf(e)))])];
}

const lineOf = (row: Readonly<Record<string, unknown>>, columns: readonly string[]): string =>
  `${columns.map((name) => row[name] ?? "").join(",")}\n`;

/** The numbers of a step, by a name such as "loss" or "critic/norm"; nothing for other events. */
function columnsOf(event: unknown): Record<string, unknown> {
  const { kind, players = {}, notes = {}, ...rest } = Object(event) as Record<string, unknown>;
  if (kind !== "step") return {};
  const own = Object.entries(Object(players) as Record<string, object>).flatMap(([player, values]) =>
    Object.entries(values).map(([name, value]) => [`${player}/${name}`, value]),
  );
  return { stage: 0, ...rest, ...Object.fromEntries(own), ...Object(notes) };
}

const imagesOf = (event: unknown): number => Number((Object(event) as { images?: unknown }).images ?? 0);
