// Nothing needs a network: a teacher, a student and its samples are made where there is none, not even the machine's own.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { root, scratch } from "./fewstep.ts";

const { at } = scratch();
const alone = ["unshare", "--map-root-user", "--net", "--"];
const works = process.platform === "linux" && spawnSync(alone[0], [...alone.slice(1), "true"]).status === 0;

test.skipIf(!works)(
  "train, accelerate and sample in an empty network namespace (needs unshare)",
  { timeout: 180_000 },
  () => {
    const run = (...args: readonly string[]) => {
      const [program, ...rest] = [...alone, process.execPath, "--import", "tsx", join(root, "src/cli/main.ts")];
      const { status, stderr } = spawnSync(program, [...rest, "--threads", "1", ...args], {
        cwd: root,
        encoding: "utf8",
      });
      expect(status, stderr).toBe(0);
    };
    const interfaces = spawnSync(alone[0], [...alone.slice(1), "cat", "/proc/net/dev"], { encoding: "utf8" }).stdout;
    expect(interfaces.match(/^ *\w+:/gm)).toEqual([expect.stringMatching(/^ *lo:$/)]);
    const small = "--data toy:moons@128 --batch 16 --images 64 --preview-every 64".split(" ");
    run("train", ...small, "--width", "8", "--depth", "1", "--run", at("teacher"));
    run("accelerate", at("teacher"), "--method", "perflow", ...small, "--windows", "2", "--run", at("student"));
    run("sample", at("student"), "--steps", "2", "--n", "8", "--out", at("grid.png"));
    expect(existsSync(at("grid.png"))).toBe(true);
  },
);

test.runIf(process.env.CI === "true" && process.platform === "linux" && process.getuid?.() === 0)(
  "unshare works here",
  () => expect(works, "CI needs user and network namespaces (unshare --map-root-user --net).").toBe(true),
);
