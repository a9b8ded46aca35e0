// PyTorch in a child process: bench/torch_reference.py, one request and one answer at a time.

import { execFileSync, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export interface Answer {
  readonly torch?: string;
  /** cpu, mps or the name of a graphics card. */
  readonly device?: string;
  readonly threads?: number;
  readonly matmul?: number;
  readonly ms?: number;
  readonly cpuMs?: number;
  /** Processor milliseconds since PyTorch's process began. */
  readonly cpu?: number;
  readonly mib?: number | null;
}

export interface Torch {
  readonly python: string;
  ask(request: Readonly<Record<string, unknown>>): Promise<Answer>;
  close(): void;
}

/** The first Python that imports torch: python3, or Debian's. Throws where one is named that does not; "none": null. */
export function findPython(given?: string): string | null {
  for (const python of given ? [given] : ["python3", "/usr/bin/python3"])
    try {
      execFileSync(python, ["-c", "import torch"], { stdio: "ignore" });
      return python;
    } catch {}
  if (given && given !== "none")
    throw new Error(`--python ${given}: this Python does not import torch, or is not there.`);
  return null;
}

export function startTorch(python: string, threads: number): Torch {
  const script = fileURLToPath(new URL("torch_reference.py", import.meta.url));
  // MKL and OpenMP read these before the script can set anything.
  const env = { ...process.env, OMP_NUM_THREADS: String(threads), MKL_NUM_THREADS: String(threads) };
  const child = spawn(python, [script], { stdio: ["pipe", "pipe", "inherit"], env });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  return {
    python,
    async ask(request) {
      child.stdin.write(`${JSON.stringify(request)}\n`);
      const { value, done } = await lines.next();
      if (done) throw new Error(`PyTorch's process ended while it was asked to "${request.do}"; its message is above.`);
      return JSON.parse(value) as Answer;
    },
    close: () => child.stdin.end(),
  };
}
