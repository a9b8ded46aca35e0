// Which of several processes this is, as mpirun, srun and the like tell it by variables.

import { UsageError } from "../failure.ts";

export interface Launched {
  /**
   * Whose library the launcher speaks to: Open MPI's, or that of MPICH and its kin (Intel MPI, Cray MPICH). "none": it
   * started several processes and lets them not talk.
   */
  readonly family: "openmpi" | "mpich" | "none";
  readonly rank: number;
  readonly size: number;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** Undefined where this is the only process. Throws a UsageError for a rank that there is not. */
export function launched(env: Environment): Launched | undefined {
  const found = asStarted(env);
  if (!found || found.size <= 1) return undefined;
  if (found.rank >= found.size)
    throw new UsageError(
      `The launcher's variables say that this is rank ${found.rank} of ${found.size} processes, which count from 0. Start it with mpirun or srun, or unset them.`,
    );
  return found;
}

function asStarted(env: Environment): Launched | undefined {
  const whole = (name: string): number | undefined =>
    /^\d{1,9}$/.test(env[name] ?? "") ? Number(env[name]) : undefined;
  const made = (family: Launched["family"], rank?: number, size?: number): Launched | undefined =>
    rank === undefined || size === undefined ? undefined : { family, rank, size };
  // srun says how many tasks its own step has; what a batch script runs by itself is no such step.
  const tasks = whole("SLURM_STEP_NUM_TASKS");
  return (
    made("openmpi", whole("OMPI_COMM_WORLD_RANK"), whole("OMPI_COMM_WORLD_SIZE")) ??
    made("openmpi", whole("PMIX_RANK"), tasks) ??
    made("mpich", whole("PMI_RANK"), whole("PMI_SIZE") ?? tasks) ??
    made("none", whole("SLURM_PROCID"), tasks)
  );
}
