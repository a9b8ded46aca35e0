// Where ONNX Runtime ran each operator, read from the profile that it writes.

import type { Device } from "../graph/index.ts";

export interface Placed {
  /** ONNX operator and the name of its node. */
  readonly op: string;
  readonly node: string;
  /** As ONNX Runtime calls it: "CPUExecutionProvider", say. */
  readonly provider: string;
}

const providers: Readonly<Record<Device, string>> = {
  cpu: "CPUExecutionProvider",
  wasm: "CPUExecutionProvider",
  webgpu: "WebGpuExecutionProvider",
  cuda: "CUDAExecutionProvider",
};

/** The operators in a profile (the text of its JSON file). Throws an Error for one in which nothing ran. */
export function placements(profile: string): Placed[] {
  const events = JSON.parse(profile) as {
    cat?: string;
    name: string;
    args?: { op_name?: string; provider?: string };
  }[];
  const placed = events.flatMap(({ cat, name, args }) =>
    cat === "Node" && args?.op_name && args.provider
      ? [{ op: args.op_name, node: name.replace(/_kernel_time$/, ""), provider: args.provider }]
      : [],
  );
  if (placed.length === 0) throw new Error("The profile names no operator: was the program run?");
  return placed;
}

/** The operators that ran elsewhere than on the device. */
export const misplaced = (placed: readonly Placed[], device: Device): Placed[] =>
  placed.filter(({ provider }) => provider !== providers[device]);
