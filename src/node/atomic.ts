// Files appear complete or not at all: written under a temporary name, flushed to the disk, renamed.
import { randomBytes } from "node:crypto";
import { access, constants, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

export type FileContent = string | Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/** What `writeAtomic` needs of the file system; the tests put failing disks here. */
export interface Disk {
  open: typeof open;
  rename: typeof rename;
}

/**
 * Writes a file, making its folder if needed. After a failure (full disk, crash, power cut) a file of that name is what it
 * was before. Throws an Error that names the path and the cause.
 */
export async function writeAtomic(path: string, content: FileContent, disk: Disk = { open, rename }): Promise<void> {
  const folder = dirname(path);
  const temporary = join(folder, temporaryName(basename(path)));
  try {
    await mkdirs(folder);
    const file = await disk.open(temporary, "wx");
    try {
      try {
        for await (const piece of pieces(content)) await file.writeFile(piece);
        await file.sync();
      } finally {
        await file.close();
      }
      await disk.rename(temporary, path);
    } catch (cause) {
      await rm(temporary, { force: true });
      throw cause;
    }
  } catch (cause) {
    throw new Error(`${path} could not be written: ${explain(cause)}`, { cause });
  }
  await syncFolder(folder, disk);
}

const temporaryName = (name: string) => `.${name}.${randomBytes(4).toString("hex")}.tmp`;
const isTemporary = (name: string) => /^\..+\.[0-9a-f]{8}\.tmp$/s.test(name);

/**
 * Removes what writes that were killed left behind in these folders, not below them, and returns the paths. For folders in
 * which no other process writes, those of a run whose lock is held; or with an age, in milliseconds, from which on a file is
 * nobody's.
 */
export async function sweepTemporary(folders: readonly string[], age = 0): Promise<string[]> {
  const swept: string[] = [];
  for (const folder of folders) {
    const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
      if (["ENOENT", "ENOTDIR"].includes(codeOf(error))) return [];
      throw error;
    });
    for (const entry of entries) {
      if (!entry.isFile() || !isTemporary(entry.name)) continue;
      const path = join(folder, entry.name);
      if (age > 0 && Date.now() - ((await stat(path).catch(() => undefined))?.mtimeMs ?? 0) < age) continue;
      await rm(path, { force: true });
      swept.push(path);
    }
  }
  return swept;
}

/** Makes a folder and those above it. Throws an Error that names the path and the cause. */
export async function makeFolder(folder: string): Promise<void> {
  await mkdirs(folder).catch((cause: unknown) => {
    throw new Error(`${folder} could not be made: ${explain(cause)}`, { cause });
  });
}

/** Makes the folder of a file that is written later, so that work is not done for nothing. Throws an Error as writing would. */
export async function checkWritable(path: string): Promise<void> {
  try {
    await mkdirs(dirname(path));
    await access(dirname(path), constants.W_OK);
    const info = await stat(path).catch(() => undefined);
    if (info?.isDirectory()) throw Object.assign(new Error(), { code: "EISDIR" });
  } catch (cause) {
    throw new Error(`${path} cannot be written: ${explain(cause)}`, { cause });
  }
}

/** Node's own `recursive` never ends where the system takes no folder and says that the one above is missing (/proc). */
async function mkdirs(folder: string): Promise<void> {
  const made = () => mkdir(folder).then(() => undefined, codeOf);
  let code = await made();
  if (code === "ENOENT" && dirname(folder) !== folder) {
    await mkdirs(dirname(folder));
    code = await made();
  }
  if (code === undefined || (code === "EEXIST" && (await stat(folder)).isDirectory())) return;
  throw Object.assign(new Error(code), { code });
}

function pieces(content: FileContent): Iterable<string | Uint8Array> | AsyncIterable<Uint8Array> {
  return typeof content === "string" || content instanceof Uint8Array ? [content] : content;
}

/** Makes the new name itself durable. Windows cannot open folders; there the rename alone has to do. */
async function syncFolder(folder: string, disk: Disk) {
  if (process.platform === "win32") return;
  const handle = await disk.open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

const reasons: Record<string, string> = {
  ENOSPC: "the disk is full. Free some space or choose another folder.",
  EDQUOT: "the disk quota is used up. Free some space or choose another folder.",
  EACCES: "there is no permission to write there.",
  EPERM: "there is no permission to write there.",
  EROFS: "the file system is read-only.",
  EISDIR: "a folder of that name exists.",
  ENOTDIR: "a part of the path is a file, not a folder.",
  ENOENT: "its folder is not there and cannot be made.",
  EEXIST: "a part of the path is a file, not a folder.",
};

const codeOf = (cause: unknown): string => (cause instanceof Error && "code" in cause ? String(cause.code) : "");

function explain(cause: unknown): string {
  return reasons[codeOf(cause)] ?? (cause instanceof Error ? cause.message : String(cause));
}
