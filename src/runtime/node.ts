// ONNX Runtime in Node.

import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as ort from "onnxruntime-node";
import { type Device, type Outputs, type Precision, sizeOf } from "../graph/index.ts";
import { allocate } from "./exchange.ts";
import type { Hasher } from "./hash.ts";
import { type Placed, placements } from "./placement.ts";
import { createRuntime, type Feed, type OrtModule, type Runtime } from "./runtime.ts";

export interface NodeRuntimeOptions {
  device?: Exclude<Device, "wasm">;
  /** Threads of one operator; default: the machine's cores. */
  threads?: number;
}

export function nodeRuntime({ device = "cpu", threads = 0 }: NodeRuntimeOptions = {}): Runtime {
  const supported = ort.listSupportedBackends().map((b) => b.name);
  if (!supported.includes(device))
    throw new Error(`This build of onnxruntime-node has no device "${device}". It has: ${supported.join(", ")}.`);
  return createRuntime(ort as unknown as OrtModule, device, threads, nodeHasher);
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
