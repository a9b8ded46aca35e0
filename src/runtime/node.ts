// ONNX Runtime in Node.

import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { type Device, type Outputs, type Precision, sizeOf } from "../graph/index.ts";
import type { Hasher } from "../hash.ts";
import { allocate } from "./exchange.ts";
import { type Placed, placements } from "./placement.ts";
import { createRuntime, type Feed, type OrtModule, type Runtime } from "./runtime.ts";

type OrtNode = OrtModule & Pick<typeof import("onnxruntime-node"), "listSupportedBackends">;
let loaded: OrtNode | undefined;

/**
 * The module onnxruntime-node, loaded at the first call. From 1.29 on its library collects usage data on Linux (an id and a
 * database in the user's cache, a log in the temporary folder) and tries to send them, unless ORT_DISABLE_TELEMETRY is
 * set when it is loaded. An import would be evaluated before any line here could set it, also in a bundle, so the
 * library is required behind that line. A value that is there already is the user's. In a worker thread the variable does
 * not reach native code: there the main thread has to set it.
 */
export function onnxruntime(): OrtNode {
  process.env.ORT_DISABLE_TELEMETRY ||= "1";
  // Bundlers that write CommonJS leave no import.meta.url.
  loaded ??= createRequire(import.meta.url ?? __filename)("onnxruntime-node") as OrtNode;
  return loaded;
}

export interface NodeRuntimeOptions {
  device?: Exclude<Device, "wasm">;
  /** Threads of one operator; default (also 0): the machine's cores. */
  threads?: number;
}

/** ONNX Runtime in Node. Throws an Error for a device that its build does not have. */
export function nodeRuntime({ device = "cpu", threads = 0 }: NodeRuntimeOptions = {}): Runtime {
  const ort = onnxruntime();
  const supported = ort.listSupportedBackends().map((b) => b.name);
  if (!supported.includes(device))
    throw new Error(`This build of onnxruntime-node has no device "${device}". It has: ${supported.join(", ")}.`);
  return createRuntime(ort, device, threads || cores(), nodeHasher);
}

/**
 * Cores that this process may use. ONNX Runtime's own count is one in some virtual machines with two. Hyperthreads share
 * a core's arithmetic, so they are not counted. 0, which leaves it to ONNX Runtime, where the system does not say.
 *
 * @param topology Linux' folder of processors.
 */
export function cores(topology = "/sys/devices/system/cpu"): number {
  try {
    const cpus = readdirSync(topology).filter((name) => /^cpu\d+$/.test(name));
    const siblings = cpus.map((cpu) =>
      readFileSync(join(topology, cpu, "topology/thread_siblings_list"), "utf8").trim(),
    );
    return Math.min(new Set(siblings).size, availableParallelism());
  } catch {
    return 0;
  }
}

/** SHA-256 in pieces, by Node: several times as fast as the plain one. */
export function nodeHasher(): Hasher {
  const hash = createHash("sha256");
  return { update: (piece) => void hash.update(piece), digest: () => hash.digest("hex") };
}

/** Where the operators of a program run. It is run once, on zeros. */
export async function placement(
  runtime: Runtime,
  outputs: Outputs,
  { precision = "float32" }: { readonly precision?: Precision } = {},
): Promise<Placed[]> {
  const folder = await mkdtemp(join(tmpdir(), "fewstep-profile-"));
  try {
    const program = await runtime.compile(outputs, { profile: join(folder, "profile"), precision });
    try {
      const feeds: Record<string, Feed> = {};
      for (const { source, dtype, shape } of program.inputs)
        if (source.kind === "input")
          feeds[source.part?.of ?? source.name] ??= allocate(dtype, source.part?.total ?? sizeOf(shape));
      await program.run(feeds);
    } finally {
      await program.dispose();
    }
    const [file] = await readdir(folder);
    return placements(await readFile(join(folder, file), "utf8"));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
