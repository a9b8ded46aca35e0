// Files appear complete or not at all: written under a temporary name, flushed to the disk, renamed.
import { randomBytes } from "node:crypto";
import { mkdir, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

export type FileContent = string | Uint8Array | Iterable<Uint8Array>;

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
  const temporary = join(folder, `.${basename(path)}.${randomBytes(4).toString("hex")}.tmp`);
  try {
    await mkdir(folder, { recursive: true });
    const file = await disk.open(temporary, "wx");
    try {
      try {
        for (const piece of pieces(content)) await file.writeFile(piece);
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

function pieces(content: FileContent): Iterable<string | Uint8Array> {
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
  EEXIST: "a part of the path is a file, not a folder.",
};

function explain(cause: unknown): string {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  return reasons[code] ?? (cause instanceof Error ? cause.message : String(cause));
}
