// What a message costs here: mpirun -n 2 --bind-to none node --import tsx bench/allreduce.ts
// Sums of the small student's gradient and of 100 MB over all ranks, against a copy of 100 MB in memory.
import { connectMpi } from "../src/node/mpi/connect.ts";
import { launched } from "../src/node/mpi/launcher.ts";

const of = launched(process.env);
if (!of) throw new Error("Start it with mpirun.");
const comm = connectMpi(of, { timeout: () => 600, library: process.env.FEWSTEP_MPI });
const median = (x: readonly number[]) => [...x].sort((a, b) => a - b)[x.length >> 1];

async function time(act: () => Promise<void> | void, times: number): Promise<number> {
  const seconds: number[] = [];
  for (let i = 0; i < times; i++) {
    await comm.allreduce(new Float32Array(1));
    const begin = performance.now();
    await act();
    seconds.push((performance.now() - begin) / 1000);
  }
  return median(seconds);
}

const large = new Float32Array(25e6);
const [small, other] = [new Float32Array(687_473), new Float32Array(large.length)];
const result = {
  ranks: comm.size,
  empty: await time(() => comm.allreduce(new Float32Array(1)), 50),
  small: await time(() => comm.allreduce(small), 20),
  large: await time(() => comm.allreduce(large), 5),
  copy: await time(() => other.set(large), 5),
};
if (comm.rank === 0) console.log(JSON.stringify(result));
await comm.leave(60_000);
comm.close();
