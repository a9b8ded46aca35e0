// Ranks over MPI, as processes: the weights of one process, the bytes of an uninterrupted run after a kill, and a sentence where
// a rank is gone or is another's. Every method on ranks: ranks.test.ts.
import { beforeAll, describe, expect, test } from "vitest";
import { commands } from "../../src/cli/commands/index.ts";
import { runProgram } from "../../src/cli/program.ts";
import { loadState } from "../../src/node/checkpoint.ts";
import { acquireLock } from "../../src/node/lock.ts";
import { launched } from "../../src/node/mpi/launcher.ts";
import { runAt } from "../../src/node/runDir.ts";
import { contents, fewstep, scratchOnce } from "./fewstep.ts";
import { type Family, installed, mpirun, pidOf } from "./mpirun.ts";
import { toyTeacher } from "./toyTeachers.ts";

const { at } = scratchOnce();
const slow = { timeout: 900_000 };
let places: { teacher: string; data: string };
beforeAll(async () => {
  places = await toyTeacher("mlp", at("toy"));
});

const own = {
  perflow: "--windows 2 --teacher-steps 2 --guidance 2",
  dmd: "--pairs 300 --teacher-steps 2 --every 2",
} as const;
/** A labeled teacher, 50 steps. */
const args = (method: keyof typeof own, run: string, ...more: string[]) => [
  ...["accelerate", places.teacher, "--data", places.data, "--method", method, "--batch", "8", "--images", "400"],
  ...["--save-every", "80", "--preview-every", "0", "--run", at(run), ...own[method].split(" "), ...more],
];
async function thetas(run: string): Promise<Record<string, Float32Array>> {
  const progress = await loadState(runAt(at(run)), {});
  expect(progress?.state.step).toBe(50);
  return Object.fromEntries(Object.entries(progress?.state.players ?? {}).map(([name, { theta }]) => [name, theta]));
}
/** The largest difference of two weights. */
async function apart(a: string, b: string): Promise<number> {
  const [one, other] = [await thetas(a), await thetas(b)];
  expect(Object.keys(other)).toEqual(Object.keys(one));
  return Math.max(...Object.keys(one).flatMap((name) => [...one[name].map((x, i) => Math.abs(x - other[name][i]))]));
}
const alone = async (method: keyof typeof own) => {
  const { code, err } = await fewstep(...args(method, `${method}-1`));
  expect(code, err).toBe(0);
};

const cases: readonly (readonly [Family, number, keyof typeof own, readonly string[]])[] = [
  ["Open MPI", 2, "perflow", []],
  ["Open MPI", 4, "dmd", ["--mca", "btl", "self,tcp"]],
  ["MPICH", 2, "dmd", []],
];
describe.each(cases)("%s, %i ranks, %s %j", (family, ranks, method, flags) => {
  test.skipIf(!installed(family))("50 steps end where one process ends", slow, async () => {
    const run = `${method}-${family}-${ranks}`.replace(" ", "-");
    // The second time it is found to be at its end.
    await alone(method);
    const { code, err, out } = await mpirun(args(method, run, "--check-ranks"), { family, ranks, flags });
    expect(code, err).toBe(0);
    expect(out.match(/"kind":"done"/g), "one rank reports").toHaveLength(1);
    expect(await apart(`${method}-1`, run)).toBeLessThan(1e-6);
  });
});

describe.skipIf(!installed("Open MPI"))("two ranks over Open MPI", () => {
  test(
    "killed in the middle, each of them, they go on to the same bytes; one process goes on as well",
    slow,
    async () => {
      const whole = await mpirun(args("dmd", "whole"), { ranks: 2 });
      expect(whole.code, whole.err).toBe(0);
      const kill = async (rank: number, run: string, images: number) => {
        const env = { FEWSTEP_TEST: at(run, String(images)) };
        let pid: Promise<number> | undefined;
        const ended = await mpirun(args("dmd", run), {
          ranks: 2,
          env,
          onEvent(event) {
            if (event.kind !== "step" || (event.images ?? 0) < images || pid) return;
            pid = pidOf(rank, `FEWSTEP_TEST=${env.FEWSTEP_TEST}`);
            void pid.then((found) => process.kill(found, "SIGKILL"));
          },
        });
        await pid;
        expect(pid, "the moment came").toBeDefined();
        expect(ended.code).not.toBe(0);
        expect(ended.err).toMatch(/rank \d .*signal 9/);
      };
      await kill(1, "killed", 104);
      await kill(0, "killed", 216);
      const last = await mpirun(args("dmd", "killed"), { ranks: 2 });
      expect(last.code, last.err).toBe(0);
      expect(last.err).toMatch(/Going on at step \d+ of 50/);
      const [a, b] = [await contents(at("whole")), await contents(at("killed"))];
      expect(Object.keys(b).filter((file) => b[file] !== a[file])).toEqual([]);
      await kill(1, "other", 216);
      const one = await fewstep(...args("dmd", "other"));
      expect(one.code, one.err).toBe(0);
      expect(one.err).toMatch(/Going on at step \d+ of 50/);
      expect(await apart("whole", "other")).toBeLessThan(1e-6);
    },
  );

  test("a rank that does not answer any more ends the run with a sentence", slow, async () => {
    const env = { FEWSTEP_TEST: at("stopped") };
    let pid: number | undefined;
    let sought = false;
    const ended = await mpirun(args("perflow", "stopped", "--rank-timeout", "5"), {
      ranks: 2,
      env,
      onEvent(event) {
        if (event.kind !== "step" || sought) return;
        sought = true;
        void pidOf(1, `FEWSTEP_TEST=${env.FEWSTEP_TEST}`).then((found) => {
          pid = found;
          process.kill(found, "SIGSTOP");
        });
      },
    });
    if (pid !== undefined) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {} // mpirun has done it
    }
    expect(ended.code).not.toBe(0);
    expect(ended.err).toMatch(
      /Error: Rank 0 has waited [5-9] s for the other 1: a process or a machine is gone, [^\n]*\n/,
    );
  });

  test("what cannot be is one sentence of rank 0, and nobody waits", slow, async () => {
    const refused = async (sentence: RegExp, given: string[], more: { last?: string[] } = {}) => {
      const { code, err } = await mpirun(given, { ranks: 2, ...more });
      expect(code).not.toBe(0);
      expect(err.match(/^Error: .*$/gm)).toEqual([expect.stringMatching(sentence)]);
    };
    const odd = args("perflow", "odd").map((arg) => (arg === "8" ? "7" : arg));
    await refused(/--batch 7 is the batch of all 2 ranks, and they do not divide it. Take 6 or 8/, odd);
    const other = args("perflow", "differ", "--lr", "0.5");
    await refused(/The ranks differ in --lr: rank 0 has none, rank 1 has 0.5\./, args("perflow", "differ"), {
      last: other,
    });
    const { mkdir } = await import("node:fs/promises");
    await mkdir(at("locked"), { recursive: true });
    const lock = await acquireLock(at("locked"), "train");
    await refused(/locked is in use by process \d+/, args("perflow", "locked"));
    await lock.release();
  });
});

describe("the launcher's variables", () => {
  test("of Open MPI, MPICH and Slurm; one process is no rank", () => {
    const open = { OMPI_COMM_WORLD_RANK: "3", OMPI_COMM_WORLD_SIZE: "4" };
    expect(launched(open)).toEqual({ family: "openmpi", rank: 3, size: 4 });
    expect(launched({ PMI_RANK: "1", PMI_SIZE: "2" })).toEqual({ family: "mpich", rank: 1, size: 2 });
    expect(launched({ PMIX_RANK: "1", SLURM_PROCID: "1", SLURM_STEP_NUM_TASKS: "2" })?.family).toBe("openmpi");
    expect(launched({ SLURM_PROCID: "0", SLURM_STEP_NUM_TASKS: "2" })).toEqual({ family: "none", rank: 0, size: 2 });
    for (const env of [{}, { ...open, OMPI_COMM_WORLD_SIZE: "1" }, { SLURM_PROCID: "0", SLURM_NTASKS: "4" }])
      expect(launched(env)).toBeUndefined();
    expect(() => launched({ ...open, OMPI_COMM_WORLD_RANK: "4" })).toThrow(
      "The launcher's variables say that this is rank 4 of 4 processes, which count from 0.",
    );
  });

  test("a rank that there is not ends a command in one sentence", async () => {
    const [out, err] = [[] as string[], [] as string[]];
    const streams = { stdout: { write: (t: string) => out.push(t) }, stderr: { write: (t: string) => err.push(t) } };
    const code = await runProgram(commands, ["info", "toy:moons"], streams as never, undefined, {
      PMI_RANK: "7",
      PMI_SIZE: "2",
    });
    expect([code, out]).toEqual([2, []]);
    expect(err.join("")).toMatch(/^Error: The launcher's variables say that this is rank 7 of 2 processes[^\n]*\n$/);
  });
});
