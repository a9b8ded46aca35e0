// The folder of a report: it holds the files of one evaluation, never those of two.
import { randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { makeFolder } from "./atomic.ts";
import { writeJson } from "./files.ts";
import { LOCK_FILE, waitForLock } from "./lock.ts";

const REPORT = "report.json";
/** Seconds for which a report waits while another is written into its folder. */
const PATIENCE = 60;
const isStage = (name: string) => /^\.report-[0-9a-f]{8}$/.test(name);
/** What file managers put everywhere. */
const isLitter = (name: string) =>
  name.startsWith(LOCK_FILE) || name === ".DS_Store" || name === "Thumbs.db" || name === "desktop.ini";
/** What reports wrote that did not list their files. */
const unlisted =
  /^(report\.json|(endpoint|frechet|kid|gaussian-mmd|sliced-wasserstein|precision|recall|paths)\.(svg|png)|samples\.png)$/;

/**
 * Makes a folder for a report. Throws an Error where it holds anything but an earlier report, unless `force` is set. Returns the
 * names of the earlier report's files, and of what a killed one left.
 */
export async function claimReport(folder: string, force: boolean): Promise<string[]> {
  await makeFolder(folder);
  const names = await readdir(folder);
  const listed = await filesOf(folder);
  const ours = names.filter(
    (name) => isStage(name) || listed?.includes(name) || (!listed && force && unlisted.test(name)),
  );
  const foreign = names.filter((name) => !ours.includes(name) && !isLitter(name)).sort();
  if (foreign.length > 0 && !force) {
    const more = foreign.length > 1 ? ` and ${foreign.length - 1} more` : "";
    throw new Error(
      `${folder} holds ${foreign[0]}${more}, which is no part of a report of fewstep. Choose another --out, or put the report beside it with --force.`,
    );
  }
  return ours;
}

/** The files of the report in a folder by its own list; undefined where there is none. */
async function filesOf(folder: string): Promise<string[] | undefined> {
  try {
    const report = Object(JSON.parse(await readFile(join(folder, REPORT), "utf8"))) as Record<string, unknown>;
    if (report.software !== "fewstep" || !Array.isArray(report.files)) return undefined;
    return [REPORT, ...report.files.map(String)];
  } catch {
    return undefined;
  }
}

/**
 * Replaces the report of a folder: `write` puts all files but report.json into the folder it is given, and returns what
 * report.json says besides. Until all is written the old report stays; a kill while files change places leaves a report.json
 * that says "unfinished".
 */
export async function replaceReport(
  folder: string,
  force: boolean,
  write: (stage: string) => Promise<object>,
): Promise<void> {
  // Of two reports that are written into one folder the second replaces the first.
  const lock = await waitForLock(folder, PATIENCE);
  const stage = join(folder, `.report-${randomBytes(4).toString("hex")}`);
  try {
    await mkdir(stage);
    const report = await write(stage);
    const files = (await readdir(stage)).sort();
    // Who has put something there meanwhile is asked again.
    const old = (await claimReport(folder, force)).filter((name) => join(folder, name) !== stage);
    await refuseFolders(folder, [REPORT, ...files]);
    const both = [...new Set([...old, ...files])].filter((name) => name !== REPORT);
    await writeJson(join(folder, REPORT), { software: "fewstep", unfinished: true, files: both });
    for (const name of old)
      if (name !== REPORT && !files.includes(name))
        await rm(join(folder, name), { recursive: isStage(name), force: true });
    for (const name of files) await rename(join(stage, name), join(folder, name));
    await writeJson(join(folder, REPORT), { software: "fewstep", files, ...report });
  } finally {
    await rm(stage, { recursive: true, force: true });
    await lock.release();
  }
}

/** Throws an Error where a folder has the name of a file to write. */
async function refuseFolders(folder: string, files: readonly string[]): Promise<void> {
  for (const name of files) {
    const info = await stat(join(folder, name)).catch(() => undefined);
    if (info && !info.isFile()) throw new Error(`${join(folder, name)} cannot be written: it is there and no file.`);
  }
}
