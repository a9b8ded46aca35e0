// One process per run folder: a file that names the process, and is worth nothing once that process has ended.
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { link, open, readFile, rename, rm, stat } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { brief, plain, sentenceOf } from "../core/show.ts";

export interface Lock {
  /** Removes the lock, if it is still this one. Further calls do nothing. */
  release(): Promise<void>;
}

/** Who holds a lock. */
export interface Holder {
  readonly host: string;
  readonly pid: number;
  /** When the process began, as the system writes it: another process may have the number later. Null: not known. */
  readonly began: string | null;
  /** What it was called as. */
  readonly command: string;
  /** Of this lock. */
  readonly token: string;
}

export const LOCK_FILE = ".lock";

/** A lock without a readable holder (a file system without links, a kill while it was written) is dead after this, ms. */
const WRITING = 10_000;

/**
 * Takes the lock of a folder that is there. One that a dead process left behind is taken over. Throws an Error that names the
 * living holder and how to remove the lock.
 */
export async function acquireLock(folder: string, command = process.argv.slice(2).join(" ")): Promise<Lock> {
  const path = join(folder, LOCK_FILE);
  const mine: Holder = {
    host: hostname(),
    pid: process.pid,
    began: (await beginOf(process.pid)) ?? null,
    command,
    token: randomBytes(8).toString("hex"),
  };
  while (!(await create(path, JSON.stringify(mine)))) {
    const found = await read(path);
    if (found === undefined) continue; // it was released just now
    await refuseIfAlive(found, folder, path, mine.host);
    await remove(path, found);
  }
  return {
    async release() {
      if (holderIn(await read(path))?.token === mine.token) await rm(path, { force: true });
    },
  };
}

/**
 * As `acquireLock`, but waits while a living process holds the lock: at most `patience` seconds, then it throws as that does.
 * `onWait` is called once a second, and may throw.
 */
export async function waitForLock(folder: string, patience: number, onWait: () => void = () => {}): Promise<Lock> {
  for (let tried = 0; ; tried++) {
    try {
      return await acquireLock(folder);
    } catch (error) {
      if (tried >= patience) throw error;
      onWait();
      await sleep(1000);
    }
  }
}

/** A name that is swept by nobody: a sweep must not take away what another process is about to make a lock of. */
const beside = (path: string) => `${path}-${randomBytes(4).toString("hex")}`;

/** False where there is a lock. It appears with its content: a link to a file that is written, where there are links. */
async function create(path: string, content: string): Promise<boolean> {
  const temporary = beside(path);
  const file = await open(temporary, "wx");
  try {
    await file.writeFile(content);
    await file.close();
    return await link(temporary, path).then(
      () => true,
      async (error: unknown) => {
        if (codeOf(error) === "EEXIST") return false;
        return createInPlace(path, content);
      },
    );
  } finally {
    await rm(temporary, { force: true });
  }
}

async function createInPlace(path: string, content: string): Promise<boolean> {
  try {
    const file = await open(path, "wx");
    await file.writeFile(content);
    await file.close();
    return true;
  } catch (error) {
    if (codeOf(error) === "EEXIST") return false;
    throw error;
  }
}

interface Found {
  readonly text: string;
  /** Milliseconds since it was written. */
  readonly age: number;
}

async function read(path: string): Promise<Found | undefined> {
  try {
    const [text, info] = [await readFile(path, "utf8"), await stat(path)];
    return { text, age: Date.now() - info.mtimeMs };
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

function holderIn(found: Found | undefined): Holder | undefined {
  try {
    const { host, pid, began, command, token } = Object(JSON.parse(found?.text ?? "")) as Partial<Holder>;
    if (typeof host !== "string" || typeof token !== "string" || !Number.isInteger(pid) || Number(pid) < 1)
      return undefined;
    return {
      host,
      pid: Number(pid),
      began: typeof began === "string" ? began : null,
      command: typeof command === "string" ? command : "",
      token,
    };
  } catch {
    return undefined;
  }
}

async function refuseIfAlive(found: Found, folder: string, path: string, host: string): Promise<void> {
  const holder = holderIn(found);
  const remove = `remove ${path}`;
  if (!holder) {
    if (found.age > WRITING) return;
    throw new Error(
      `${folder} is locked by a process that has not written its name yet. Try again in ${WRITING / 1000} seconds, or ${remove}.`,
    );
  }
  const who = `process ${holder.pid}${holder.command ? ` (fewstep ${sentenceOf(plain(holder.command), 200)})` : ""}`;
  if (holder.host !== host)
    throw new Error(
      `${folder} is in use by ${who} on the machine ${brief(holder.host, 60)}, which cannot be asked from here. If it has ended there, ${remove}.`,
    );
  if (await isAlive(holder))
    throw new Error(`${folder} is in use by ${who}. Wait for it or stop it; if it is no run of fewstep, ${remove}.`);
}

/** Takes a dead lock away. Another process may have done so and locked in the meantime: then that lock is put back. */
async function remove(path: string, dead: Found): Promise<void> {
  const aside = beside(path);
  try {
    await rename(path, aside);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return;
    throw error;
  }
  const text = await readFile(aside, "utf8");
  if (text !== dead.text) await link(aside, path).catch(() => createInPlace(path, text));
  await rm(aside, { force: true });
}

async function isAlive({ pid, began }: Holder): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // No permission to send it a signal: it is there.
    if (codeOf(error) !== "EPERM") return false;
  }
  const now = await beginOf(pid);
  return now === undefined ? false : began === null || now === null || now === began;
}

/** When a process began; undefined if it has ended, null where the system does not tell. */
async function beginOf(pid: number): Promise<string | null | undefined> {
  if (process.platform === "linux") {
    const text = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => null);
    if (text === null) return null;
    // The name, in parentheses, may hold anything; state is the first field after it, the time in ticks the twentieth.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    if (fields[0] === "Z" || fields[0] === "X") return undefined;
    const boot = await readFile("/proc/sys/kernel/random/boot_id", "utf8").catch(() => "");
    return `${boot.trim()} ${fields[19]}`;
  }
  if (process.platform === "win32") return null;
  const ps = promisify(execFile)("ps", ["-o", "lstart=", "-p", String(pid)], { env: { ...process.env, LC_ALL: "C" } });
  return ps.then(
    ({ stdout }) => stdout.trim() || null,
    () => null,
  );
}

const codeOf = (error: unknown): unknown => (error instanceof Error && "code" in error ? error.code : undefined);
