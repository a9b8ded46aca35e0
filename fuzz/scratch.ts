// Files of an input on a disk, for what reads paths.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Input } from "./target.ts";

/** What the fuzzer tells its child processes: the folder that it removes at its end. */
export const SCRATCH = "FEWSTEP_FUZZ_SCRATCH";

let root: string | undefined;
let made = 0;

/** A folder of this process. */
function rootFolder(): string {
  if (root !== undefined) return root;
  const given = process.env[SCRATCH];
  root = mkdtempSync(join(given ?? tmpdir(), given === undefined ? "fewstep-fuzz-" : "child-"));
  const folder = root;
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  return root;
}

/** A folder with these files, which is removed afterwards. Names must not lead out of it. */
export async function inFolder<T>(files: Input, read: (folder: string) => T | Promise<T>): Promise<T> {
  const folder = join(rootFolder(), String(made++));
  mkdirSync(folder);
  try {
    for (const [name, bytes] of Object.entries(files)) {
      const path = join(folder, name);
      if (name.includes("/")) mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, bytes);
    }
    return await read(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** An error's message names files; the folder itself may have any name. */
export const plainly = (message: string, folder: string): string => message.replaceAll(folder, "folder");
