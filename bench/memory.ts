// Peak memory of our side, measured in this process alone: memory.ts <case> <phase> <threads>. Prints MiB.

import { nodeRuntime } from "../src/runtime/node.ts";
import { isCase, openCase, phases } from "./cases.ts";
import { peakMemory, prepare } from "./ours.ts";

const [name, phaseName, threads] = process.argv.slice(2);
const phase = phases.find((p) => p === phaseName);
if (!isCase(name) || !phase) throw new Error(`There is no case "${name}" with a phase "${phaseName}".`);
const c = openCase(name);
const prepared = await prepare(nodeRuntime({ threads: Number(threads) }), c, phase, c.weights());
for (let i = 0; i < (c.large ? 1 : 3); i++) await prepared.run();
console.log(peakMemory() ?? "");
await prepared.dispose();
