// What several processes cannot do together: one sentence, said by one of them, and nobody waits.
import { expect, test } from "vitest";
import { commands } from "../../src/cli/commands/index.ts";
import { runProgram } from "../../src/cli/program.ts";
import { type Ending, endTogether } from "../../src/cli/ranks.ts";
import { agree, alone, type Comm } from "../../src/comm.ts";
import { onAll } from "../support/localComms.ts";

const train = ["train", "--data", "toy:moons@64", "--images", "64"];

/** What each process says on stderr, and its exit code. */
async function started(env: Readonly<Record<string, string>>): Promise<[code: number, err: string]> {
  let err = "";
  const stderr = {
    write(text: string) {
      err += text;
    },
  };
  const code = await runProgram(commands, train, { stdout: { write: () => {} }, stderr }, undefined, env);
  return [code, err];
}

test("srun without PMIx starts processes that cannot talk: rank 0 says so, and the others say nothing", async () => {
  const step = (rank: number) => ({ SLURM_PROCID: String(rank), SLURM_STEP_NUM_TASKS: "2" });
  const [first, second] = await Promise.all([started(step(0)), started(step(1))]);
  expect(first).toEqual([
    2,
    "Error: srun started 2 processes that cannot talk to each other: use srun --mpi=pmix (see which there are: srun --mpi=list).\n",
  ]);
  expect(second[0]).toBe(2);
});

test.each([
  ["version", "0.1.0", "0.2.0"],
  ["data", "3f9a", "77be"],
  ["teacher", "c0ffee", "decade"],
  ["--device", '"cuda"', "none"],
])("ranks that differ in %s all end with the same sentence", async (name, ours, theirs) => {
  const said = await onAll(3, (comm) =>
    agree(comm, { other: "same", [name]: comm.rank === 2 ? theirs : ours }).then(
      () => "nothing",
      (error: Error) => error.message,
    ),
  );
  const sentence = `The ranks differ in ${name}: rank 0 has ${ours}, rank 2 has ${theirs}. Start all with the same command, on machines with the same version and files.`;
  expect(said).toEqual([sentence, sentence, sentence]);
});

test("a rank that fails alone, without the GPU say, is named by rank 0, which would have gone on", async () => {
  const said: (string | undefined)[] = [];
  const comm = (rank: number): Comm => ({
    ...alone,
    rank,
    size: 2,
    async leave(_, failure) {
      said[rank] = failure;
      return { all: true, ...(rank === 0 ? { said: said[1] } : {}) };
    },
  });
  const lost: Ending = { code: 1, message: 'This build of onnxruntime-node has no device "cuda". It has: cpu.' };
  const second = await endTogether(comm(1), lost, new Error(lost.message), 1);
  const first = await endTogether(comm(0), { code: 0 }, undefined, 1);
  expect(second).toEqual({ code: 1 });
  expect(first.code).toBe(1);
  expect(first.message).toMatch(/^Rank 1 of 2 on \S+: This build of onnxruntime-node has no device "cuda"/);
});
