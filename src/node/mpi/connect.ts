// Ranks that talk over MPI. Every call is a nonblocking one that is asked about until it is done: so signals are heard, and
// a wait for a rank that is gone ends.
import { setImmediate, setTimeout } from "node:timers/promises";
import { type Comm, RankLost } from "../../comm.ts";
import { UsageError } from "../failure.ts";
import type { Launched } from "./launcher.ts";
import { type Handle, type MpiLibrary, mpiLibrary } from "./library.ts";

export interface MpiOptions {
  /** Seconds after which a rank that is waited for is given up; asked at every wait. */
  readonly timeout: () => number;
  /** A library instead of the one that the launcher is of. */
  readonly library?: string;
}

/** Bytes of one message: larger ones lose what the processor's cache holds. */
const CHUNK = 4 << 20;
/** Of what is copied to a place of its own first: a short array may not have one. */
const SMALL = 1 << 14;
/** Of a sentence that a failing rank sends to rank 0. */
const SENTENCE = 2048;
const FAILED = 77;
/** How much longer other ranks wait than rank 0, which is the one to speak, in seconds. */
const COURTESY = 5;

/** Throws a UsageError where the launcher lets its processes not talk, or is not of this library. */
export function connectMpi(of: Launched, { timeout, library }: MpiOptions): Comm {
  if (of.family === "none")
    throw new UsageError(
      `srun started ${of.size} processes that cannot talk to each other: use srun --mpi=pmix (see which there are: srun --mpi=list).`,
    );
  const lib = mpiLibrary(of.family, library);
  lib.call("MPI_Init", null, null);
  const [rank, size] = [intOf(lib, "MPI_Comm_rank"), intOf(lib, "MPI_Comm_size")];
  if (rank !== of.rank || size !== of.size)
    throw new UsageError(
      `The launcher started ${of.size} processes, and ${lib.version} knows of ${size}: the two do not belong together. Start with that library's own mpirun, or say in FEWSTEP_MPI where the launcher's library is.`,
    );
  lib.call("MPI_Comm_set_errhandler", lib.world, lib.errorsReturn);
  // What is said at the end must not meet what others are waiting for.
  const memory = new BigInt64Array(64);
  lib.call("MPI_Comm_dup", lib.world, memory);
  const side = lib.handleIn(memory);
  lib.call("MPI_Comm_set_errhandler", side, lib.errorsReturn);
  return overMpi(lib, side, rank, size, timeout);
}

function intOf(lib: MpiLibrary, name: "MPI_Comm_rank" | "MPI_Comm_size"): number {
  const out = new Int32Array(64);
  lib.call(name, lib.world, out);
  return out[0];
}

function overMpi(lib: MpiLibrary, side: Handle, rank: number, size: number, timeout: () => number): Comm {
  const small = new Uint8Array(SMALL);
  const [request, flag] = [new BigInt64Array(64), new Int32Array(64)];
  const [leaving, arrived] = [new BigInt64Array(64), new Int32Array(64)];
  const [sent, word] = [new BigInt64Array(64), new Uint8Array(SENTENCE)];
  const tested = (which: BigInt64Array, done: Int32Array): boolean => {
    lib.call("MPI_Test", which, done, lib.ignore);
    return done[0] !== 0;
  };
  /** What a rank that failed said to rank 0. */
  const heard = (): string | undefined => {
    const there = new Int32Array(64);
    lib.call("MPI_Iprobe", anySource(lib), FAILED, side, there, lib.ignore);
    if (there[0] === 0) return undefined;
    const text = new Uint8Array(SENTENCE);
    lib.call("MPI_Recv", text, SENTENCE, lib.byte, anySource(lib), FAILED, side, lib.ignore);
    return new TextDecoder().decode(text.subarray(0, text.indexOf(0)));
  };
  const wait = async (): Promise<void> => {
    const begin = performance.now();
    const limit = 1000 * (timeout() + (rank === 0 ? 0 : COURTESY));
    for (;;) {
      // Short waits are worth the processor, long ones are not.
      for (let i = 0; i < 100; i++) if (tested(request, flag)) return;
      const waited = performance.now() - begin;
      if (waited > limit)
        throw new RankLost(
          `Rank ${rank} has waited ${Math.round(waited / 1000)} s for the other ${size - 1}: a process or a machine is gone, or slower than --rank-timeout allows. Start the same command again to go on from the last checkpoint.`,
        );
      if (waited < 0.5) continue;
      const failure = rank === 0 ? heard() : undefined;
      if (failure !== undefined) throw new RankLost(failure);
      await (waited < 10 ? setImmediate() : setTimeout(1));
    }
  };
  /** Piece by piece through `start`, which is given addresses that stay. */
  const inPieces = async (bytes: Uint8Array, start: (piece: Uint8Array) => void): Promise<void> => {
    if (bytes.length <= SMALL) {
      const place = small.subarray(0, bytes.length);
      place.set(bytes);
      start(place);
      await wait();
      bytes.set(place);
      return;
    }
    for (let at = 0; at < bytes.length; at += CHUNK) {
      start(bytes.subarray(at, at + CHUNK));
      await wait();
    }
  };
  return {
    rank,
    size,
    allreduce: (x) =>
      inPieces(new Uint8Array(x.buffer, x.byteOffset, x.byteLength), (piece) =>
        lib.call("MPI_Iallreduce", lib.inPlace, piece, piece.length / 4, lib.float, lib.sum, lib.world, request),
      ),
    broadcast: (x, root) =>
      inPieces(x, (piece) => lib.call("MPI_Ibcast", piece, piece.length, lib.byte, root, lib.world, request)),
    async leave(ms, failure) {
      if (failure !== undefined && rank !== 0) {
        word.fill(0);
        new TextEncoder().encodeInto(failure, word.subarray(0, SENTENCE - 1));
        lib.call("MPI_Isend", word, SENTENCE, lib.byte, 0, FAILED, side, sent);
      }
      lib.call("MPI_Ibarrier", side, leaving);
      const begin = performance.now();
      while (!tested(leaving, arrived)) {
        if (performance.now() - begin > ms) return { all: false, said: rank === 0 ? heard() : undefined };
        await setTimeout(1);
      }
      return { all: true, said: rank === 0 ? heard() : undefined };
    },
    abort(code) {
      lib.alarm(5);
      lib.call("MPI_Abort", lib.world, code);
    },
    close() {
      lib.alarm(30);
      lib.call("MPI_Finalize");
      lib.alarm(0);
    },
  };
}

const anySource = ({ inPlace }: MpiLibrary): number => (inPlace === 1n ? -1 : -2);
