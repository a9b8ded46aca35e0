// fewstep under mpirun, with ranks that can be found and killed. CI has both libraries; elsewhere what is not there is left out.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type Event, root } from "./fewstep.ts";

export const families = {
  "Open MPI": { mpirun: "mpirun.openmpi", flags: ["--oversubscribe", "--bind-to", "none"] },
  MPICH: { mpirun: "mpirun.mpich", flags: [] },
} as const;
export type Family = keyof typeof families;

/** With CI=true a missing one is a failure, not a skip. */
export const installed = (family: Family): boolean =>
  process.env.CI === "true" || spawnSync(families[family].mpirun, ["--version"]).status === 0;

export interface Launch {
  readonly family?: Family;
  readonly ranks: number;
  /** Further flags of mpirun. */
  readonly flags?: readonly string[];
  /** A command that runs mpirun. */
  readonly within?: readonly string[];
  /** Told rank 0's events. */
  readonly onEvent?: (event: Event & { readonly images?: number }, mpirun: ChildProcess) => void;
  readonly env?: Readonly<Record<string, string>>;
  /** Other arguments for the last rank. */
  readonly last?: readonly string[];
}

export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export async function mpirun(
  args: readonly string[],
  { family = "Open MPI", ranks, flags = [], within = [], onEvent, env = {}, last }: Launch,
): Promise<Ended> {
  const main = ["--import", "tsx", join(root, "src/cli/main.ts"), "--json", "--threads", "1"];
  const start = (n: number, own: readonly string[]) => ["-n", String(n), process.execPath, ...main, ...own];
  const programs = last ? [...start(ranks - 1, args), ":", ...start(1, last)] : start(ranks, args);
  const { mpirun: command, flags: common } = families[family];
  const [program, ...given] = [...within, command, ...common, ...flags, ...programs];
  const child = spawn(program, given, {
    cwd: root,
    env: { ...process.env, OMPI_ALLOW_RUN_AS_ROOT: "1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: "1", ...env },
  });
  let [out, err] = ["", ""];
  createInterface({ input: child.stdout }).on("line", (line) => {
    out += `${line}\n`;
    if (line.startsWith("{")) onEvent?.(JSON.parse(line), child);
  });
  child.stderr.on("data", (data) => {
    err += data;
  });
  return new Promise((done, fail) => {
    child.on("error", fail);
    child.on("close", (code) => done({ code, out, err }));
  });
}

/** The process of a rank, of those that were started with this variable. */
export async function pidOf(rank: number, marked: string): Promise<number> {
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const [environment, command] = await Promise.all(
      ["environ", "cmdline"].map((file) => readFile(`/proc/${name}/${file}`, "latin1").catch(() => "")),
    );
    const has = (text: string) => environment.split("\0").includes(text);
    if (!has(marked) || !command.includes("main.ts") || !command.startsWith(process.execPath)) continue;
    if (has(`OMPI_COMM_WORLD_RANK=${rank}`) || has(`PMI_RANK=${rank}`)) return Number(name);
  }
  throw new Error(`Rank ${rank} was not found.`);
}
