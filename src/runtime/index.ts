export type { DeviceTensor, Held } from "./exchange.ts";
export type { CompileOptions, Feed, Feeds, Fetched, OrtModule, Program, Runtime } from "./runtime.ts";
export { createRuntime } from "./runtime.ts";
