// Ends with an error where the Vulkan loader finds no adapter that works.

import { add, input } from "../../src/graph/index.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";

const program = await nodeRuntime({ device: "webgpu" }).compile({ y: add(input("x", [1]), 1) });
const { y } = await program.run({ x: Float32Array.of(1) });
if (y.data[0] !== 2) throw new Error(`1 + 1 is ${y.data[0]} there.`);
