// Two hosts, made of network namespaces with a cable between them. It is cut in the middle of a training: the run ends with a sentence
// within the timeout, and the same command goes on when the cable is back. Needs root and Linux.
import { execFileSync, spawnSync } from "node:child_process";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { contents, scratchOnce } from "./fewstep.ts";
import { installed, mpirun } from "./mpirun.ts";
import { toyTeacher } from "./toyTeachers.ts";

const own = `fs${process.pid}`;
const [near, far] = [`${own}a`, `${own}b`];
const [nearAddress, farAddress] = ["10.77.13.1", "10.77.13.2"];
const ip = (...args: string[]) => execFileSync("ip", args, { stdio: "pipe" });

/** Whether this machine lets us make hosts. */
function allowed(): boolean {
  const probe = `${own}p`;
  if (process.platform !== "linux" || spawnSync("ip", ["netns", "add", probe]).status !== 0) return false;
  const made =
    spawnSync("ip", ["-n", probe, "link", "add", "name", "one", "type", "veth", "peer", "name", "two"]).status === 0;
  spawnSync("ip", ["netns", "del", probe]);
  return made;
}

describe.skipIf(!installed("Open MPI") || !allowed())("two hosts", () => {
  const { at } = scratchOnce();
  let folder: string;
  let places: { teacher: string; data: string };

  beforeAll(async () => {
    places = await toyTeacher("mlp", at("toy"));
    for (const host of [near, far]) ip("netns", "add", host);
    ip("link", "add", "name", "cable", "netns", near, "type", "veth", "peer", "name", "cable", "netns", far);
    for (const [host, address] of [
      [near, nearAddress],
      [far, farAddress],
    ]) {
      ip("-n", host, "addr", "add", `${address}/24`, "dev", "cable");
      ip("-n", host, "link", "set", "lo", "up");
      ip("-n", host, "link", "set", "cable", "up");
    }
    // What ssh would be: mpirun calls it as `login <host> <command>`. A host has a name of its own.
    folder = await mkdtemp(join(tmpdir(), "fewstep-hosts-"));
    const login = `#!/bin/sh\nshift\nexec ip netns exec ${far} unshare --uts sh -c "hostname ${far}; $*"\n`;
    await writeFile(join(folder, "login"), login);
    await chmod(join(folder, "login"), 0o755);
  });
  afterAll(async () => {
    for (const host of [near, far]) spawnSync("ip", ["netns", "del", host]);
    await rm(folder, { recursive: true, force: true });
  });

  const stopFar = () => {
    for (const pid of String(ip("netns", "pids", far))
      .split("\n")
      .filter(Boolean))
      spawnSync("kill", ["-9", pid]);
  };
  /** A training of two ranks, one on each host. With `cutAt` the cable is cut there. */
  async function train(run: string, timeout: number, flags: readonly string[], cutAt = Number.POSITIVE_INFINITY) {
    const net = `${nearAddress}/24`;
    const args = ["accelerate", places.teacher, "--data", places.data, "--method", "perflow", "--windows", "2"];
    const length = ["--batch", "8", "--images", "800", "--save-every", "80", "--preview-every", "0"];
    let cut: number | undefined;
    const ended = await mpirun([...args, ...length, "--rank-timeout", String(timeout), "--run", at(run)], {
      ranks: 2,
      within: ["ip", "netns", "exec", near],
      flags: [
        ...["--host", `${nearAddress},${farAddress}`, "--mca", "plm_rsh_agent", join(folder, "login"), ...flags],
        ...["--mca", "btl", "self,tcp", "--mca", "btl_tcp_if_include", net, "--mca", "oob_tcp_if_include", net],
      ],
      onEvent(event, child) {
        if (cut || event.kind !== "step" || (event.images ?? 0) < cutAt) return;
        cut = performance.now();
        ip("-n", far, "link", "set", "cable", "down");
        // Without its own watch over the hosts, mpirun waits for the one that is gone, and the one for mpirun.
        if (flags.length === 0)
          setTimeout(() => {
            child.kill("SIGKILL");
            stopFar();
          }, 3_000 * timeout);
      },
    });
    const waited = (performance.now() - (cut ?? 0)) / 1000;
    if (Number.isFinite(cutAt)) {
      expect(cut, "the moment came").toBeDefined();
      ip("-n", far, "link", "set", "cable", "up");
    }
    stopFar();
    return { ...ended, waited };
  }
  /** mpirun's own watch over the hosts, as docs/cluster.md has it. */
  const watch = ["time 5", "intvl 1", "probes 3"].flatMap((x) => ["--mca", ...`oob_tcp_keepalive_${x}`.split(" ")]);

  test("one is cut off in the middle: a sentence, and the restarted run has the bytes of the whole one", {
    timeout: 600_000,
  }, async () => {
    const whole = await train("whole", 60, []);
    expect(whole.code, whole.err).toBe(0);

    const ours = await train("cut", 5, [], 240);
    expect(ours.code).not.toBe(0);
    expect(ours.err).toMatch(
      /Error: Rank 0 has waited [5-9] s for the other 1: a process or a machine is gone, [^\n]*\n/,
    );

    const theirs = await train("cut", 60, watch, 480);
    expect(theirs.code).not.toBe(0);
    expect(theirs.err).toMatch(/lost communication with a remote daemon/);
    expect(theirs.waited).toBeLessThan(60);

    const again = await train("cut", 60, []);
    expect(again.code, again.err).toBe(0);
    expect(again.err).toMatch(/Going on at step \d+ of 100/);
    const [a, b] = [await contents(at("whole")), await contents(at("cut"))];
    expect(Object.keys(b).filter((file) => b[file] !== a[file])).toEqual([]);
  });
});
