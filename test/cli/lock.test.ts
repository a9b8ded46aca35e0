// One process per run folder, whatever happened to the last one.
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, symlink, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { sweepTemporary, writeAtomic } from "../../src/node/atomic.ts";
import { acquireLock, type Holder, LOCK_FILE } from "../../src/node/lock.ts";
import { root, scratch } from "./fewstep.ts";

const { at } = scratch();
const holder = async (): Promise<Holder> => JSON.parse(await readFile(at(LOCK_FILE), "utf8"));
const leave = (change: Partial<Holder>) =>
  writeFile(
    at(LOCK_FILE),
    JSON.stringify({ host: hostname(), pid: process.pid, began: "before", command: "train", token: "x", ...change }),
  );

/** A process of its own that takes the lock and keeps it. Resolves with what it says. */
function other(): Promise<{ child: ChildProcess; says: string; ended: Promise<unknown> }> {
  const script = `
    import { acquireLock } from ${JSON.stringify(join(root, "src/node/lock.ts"))};
    acquireLock(process.argv[1], "train --resume x").then(
      () => { console.log("locked"); setInterval(() => {}, 1000); },
      (error) => { console.log(error.message); });`;
  const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", script, at()], { cwd: root });
  const ended = new Promise((done) => child.on("close", done));
  return new Promise((done) => child.stdout.on("data", (data) => done({ child, says: String(data).trim(), ended })));
}

test("a lock names its process, and is gone after its release", async () => {
  const lock = await acquireLock(at(), "train --data x");
  expect(await holder()).toMatchObject({ host: hostname(), pid: process.pid, command: "train --data x" });
  await expect(acquireLock(at())).rejects.toThrow(
    `${at()} is in use by process ${process.pid} (fewstep train --data x). Wait for it or stop it; if it is no run of fewstep, remove ${at(LOCK_FILE)}.`,
  );
  await lock.release();
  await lock.release();
  expect(await readdir(at())).toEqual([]);
  const again = await acquireLock(at());
  await lock.release();
  expect(existsSync(at(LOCK_FILE)), "the old lock's release leaves the new one").toBe(true);
  await again.release();
});

test("the lock of another living process holds; after kill -9 it is taken over", { timeout: 120_000 }, async () => {
  const { child, says, ended } = await other();
  expect(says).toBe("locked");
  await expect(acquireLock(at())).rejects.toThrow(
    `is in use by process ${(await holder()).pid} (fewstep train --resume x).`,
  );
  const second = await other();
  expect(second.says).toContain("is in use by process");
  await second.ended;
  child.kill("SIGKILL");
  await ended;
  expect(existsSync(at(LOCK_FILE))).toBe(true);
  const lock = await acquireLock(at(), "mine");
  expect((await holder()).command).toBe("mine");
  await lock.release();
  expect(await readdir(at())).toEqual([]);
});

test.skipIf(process.platform === "win32")(
  "a number that another process has by now is no holder (not on Windows)",
  async () => {
    await leave({});
    await (await acquireLock(at())).release();
    await leave({ began: null });
    await expect(acquireLock(at()), "where the beginning is not known the number counts").rejects.toThrow(
      "is in use by",
    );
  },
);

test("another machine's lock is left alone", async () => {
  await leave({ host: "elsewhere", pid: 4_000_000 });
  await expect(acquireLock(at())).rejects.toThrow(
    /is in use by process 4000000 \(fewstep train\) on the machine elsewhere, which cannot be asked from here/,
  );
});

test("a damaged lock is waited for, and taken over once it is old", async () => {
  await writeFile(at(LOCK_FILE), "");
  await expect(acquireLock(at())).rejects.toThrow("has not written its name yet. Try again in 10 seconds, or remove");
  const past = new Date(Date.now() - 60_000);
  await utimes(at(LOCK_FILE), past, past);
  await (await acquireLock(at())).release();
});

test("of many that find a dead lock at once, one gets it", async () => {
  for (let round = 0; round < 20; round++) {
    await leave({ pid: 4_000_000 });
    const all = await Promise.allSettled(Array.from({ length: 8 }, () => acquireLock(at())));
    const got = all.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
    expect(got.length).toBe(1);
    await got[0].release();
    expect(await readdir(at())).toEqual([]);
  }
});

test("dead temporary files are swept, and nothing else", async () => {
  await mkdir(at("model/deep"), { recursive: true });
  const dead = [".state.safetensors.0123abcd.tmp", "model/.card.json.00000000.tmp"];
  const kept = ["log.tmp", ".note.tmp", ".x.0123ABCD.tmp", "model/card.json", "model/deep/.x.00000000.tmp"];
  for (const name of [...dead, ...kept]) await writeFile(at(name), "x");
  await mkdir(at(".folder.00000000.tmp"));
  await symlink(at("log.tmp"), at(".link.00000000.tmp"));
  expect(await sweepTemporary([at(), at("model"), at("none"), at("log.tmp")])).toEqual(dead.map((name) => at(name)));
  expect((await readdir(at(), { recursive: true })).sort()).toEqual(
    [".folder.00000000.tmp", ".link.00000000.tmp", "model", "model/deep", ...kept].sort(),
  );
});

test("what a killed write leaves is what is swept", async () => {
  const stuck = new Promise<never>(() => {});
  let opened = "";
  const { open } = await import("node:fs/promises");
  void writeAtomic(at("x.json"), "x", {
    rename: () => stuck,
    open: async (path, ...rest) => {
      opened = String(path);
      return open(path, ...rest);
    },
  });
  await expect.poll(() => opened !== "" && existsSync(opened)).toBe(true);
  expect(await sweepTemporary([at()])).toEqual([opened]);
});
