// npm run fuzz -- --seconds N: nearly right inputs for every parser, and what became of them.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { formatInputs } from "./keep.ts";
import { rngFor } from "./random.ts";
import { fuzz, type Row, stopChild } from "./run.ts";
import { table } from "./table.ts";
import { parsers, targets } from "./targets/index.ts";

const { values } = parseArgs({
  options: {
    seconds: { type: "string" },
    inputs: { type: "string" },
    seed: { type: "string", default: "1" },
    parser: { type: "string", multiple: true },
    keep: { type: "string", default: "fuzz-failures" },
    docs: { type: "string" },
    state: { type: "string" },
  },
});
const number = (name: "seconds" | "inputs" | "seed") => {
  const value = values[name] === undefined ? undefined : Number(values[name]);
  if (value !== undefined && !(value >= 0)) throw new Error(`--${name} is ${values[name]}, expected a number from 0.`);
  return value;
};
const unknown = values.parser?.find((name) => !parsers.includes(name));
if (unknown !== undefined) throw new Error(`There is no parser "${unknown}", expected one of ${parsers.join(", ")}.`);
/** What --state names: a run that was stopped goes on where it was. */
const state = values.state;
const before = state !== undefined && existsSync(state) ? (JSON.parse(readFileSync(state, "utf8")) as Row[]) : [];
const options = {
  parsers: values.parser ?? parsers,
  seed: number("seed") ?? 1,
  inputs: number("inputs"),
  seconds: number("seconds") ?? (values.inputs === undefined ? 60 : undefined),
};

let said = 0;
const reported = new Set<string>();
const rows = await fuzz({
  ...options,
  before,
  onProgress({ parser, inputs, seconds, found }) {
    if (performance.now() - said < 10_000) return;
    said = performance.now();
    console.error(`${parser}: ${inputs} inputs in ${seconds.toFixed(0)} s, ${found.length} found`);
  },
  async onTurn(all, row) {
    await report(row);
    if (values.docs !== undefined) write(resolve(values.docs), all);
    if (state !== undefined) writeFileSync(state, JSON.stringify(all));
  },
});
stopChild();
console.log(table(rows));
process.exitCode = rows.some(({ found }) => found.length > 0) ? 1 : 0;

/** Puts the table of what was tried so far between its marks. */
function write(path: string, all: readonly Row[]): void {
  const marks = ["<!-- fuzz -->", "<!-- end of fuzz -->"];
  const text = readFileSync(path, "utf8");
  const at = marks.map((mark) => text.indexOf(mark));
  if (at.some((place) => place < 0)) throw new Error(`${path} has no ${marks.join(" and ")} to put the table between.`);
  const how = `Seed ${options.seed}, Node ${process.versions.node}, ${cpus()[0]?.model ?? "unknown processor"}, ${new Date().toISOString().slice(0, 10)}.`;
  writeFileSync(path, `${text.slice(0, at[0])}${marks[0]}\n${how}\n\n${table(all)}\n${text.slice(at[1])}`);
}

/** Says what was found and keeps the inputs, up to five of each kind. */
async function report({ parser, found }: Row): Promise<void> {
  const kinds = new Map<string, number>();
  for (const { verdict, index, note } of found) {
    const seen = kinds.get(verdict) ?? 0;
    kinds.set(verdict, seen + 1);
    if (seen >= 5 || reported.has(`${parser} ${index}`)) continue;
    reported.add(`${parser} ${index}`);
    const target = await targets[parser]();
    const input = await target.make(rngFor(parser, options.seed, index));
    const path = join(values.keep, parser, `${verdict}-${options.seed}-${index}`);
    mkdirSync(dirname(path), { recursive: true });
    const { name, bytes } = formatInputs(input);
    writeFileSync(`${path}${name}`, bytes);
    console.log(`${parser} ${index} ${verdict}: ${note}`);
  }
}
