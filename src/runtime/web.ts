// ONNX Runtime in a page or a worker: the module onnxruntime-web is an argument, so that a page decides when it is loaded.
// Training belongs in a worker: a run of Wasm blocks its thread.

import { constant, conv2d, input, matmul, mean, reshape, softmax, square, vjp } from "../graph/index.ts";
import { type ModuleState, orderly, stateOf } from "./orderly.ts";
import { createRuntime, type OrtModule, type Runtime } from "./runtime.ts";
import { noWebGpu } from "./webFailure.ts";

/** The part of onnxruntime-web that is used: `import * as ort from "onnxruntime-web/wasm"`, or "onnxruntime-web/webgpu". */
export interface OrtWeb extends OrtModule {
  readonly env: {
    readonly wasm: { numThreads?: number };
    readonly webgpu: { readonly device?: unknown };
  };
}

export interface WebRuntimeOptions {
  /**
   * "webgpu" needs the module onnxruntime-web/webgpu, and is given up for Wasm where there is no adapter or a small program
   * gives other values than on Wasm. Default "wasm".
   */
  readonly device?: "wasm" | "webgpu";
  /**
   * Threads of one operator, from 1; more than one only where the page is cross-origin isolated. All runtimes of a module
   * have as many as its first one. Default 1.
   */
  readonly threads?: number;
  /** Programs that are asked for after it is aborted end with its reason; the one that runs then ends first. */
  readonly signal?: AbortSignal;
}

export interface WebRuntime extends Runtime {
  readonly device: "wasm" | "webgpu";
  /** What is otherwise than it was asked for, and why: a sentence each. */
  readonly notes: readonly string[];
  /** The module for sessions of one's own (of someone else's .onnx file, say), in the same order as the programs. */
  readonly ort: OrtModule;
}

/**
 * A runtime whose programs run one after the other, with a turn of the event loop before each: messages, timers and the
 * `signal` are heard between two steps of a training. Works on plain http. Several may share a module.
 *
 * @throws Error with a sentence where not even Wasm starts. Programs fail with sentences too: when memory is used up, or the
 * graphics device is lost.
 */
export async function webRuntime(
  ort: OrtWeb,
  { device = "wasm", threads = 1, signal }: WebRuntimeOptions = {},
): Promise<WebRuntime> {
  if (!(Number.isInteger(threads) && threads >= 1))
    throw new RangeError(`A runtime cannot have ${threads} threads; expected a whole number from 1.`);
  const state = stateOf(ort);
  const notes = chooseThreads(ort, state, threads);
  const made = (on: "wasm" | "webgpu") => {
    const own = orderly(ort, state, { signal, graphics: on === "webgpu" ? ort.env.webgpu : undefined });
    return { ...createRuntime(own, on, 1), ort: own };
  };
  const wasm = made("wasm");
  // Where Wasm does not start this says so, and nothing goes on.
  const expected = await checkValues(wasm);
  // ONNX Runtime takes one thread where it finds that there cannot be more.
  const count = ort.env.wasm.numThreads ?? 1;
  if (count < (state.threads ?? 1)) notes.push(`One thread: this browser has no threads for Wasm.`);
  state.threads = count;
  if (device === "wasm") return { ...wasm, device, threads: count, notes };
  try {
    await checkAdapter();
    const webgpu = made("webgpu");
    const got = await checkValues(webgpu);
    const off = Math.max(...got.map((value, i) => Math.abs(value - expected[i])));
    if (!(off <= TOLERANCE))
      throw new Error(`a small program's values are off by ${off.toExponential(1)} from those on Wasm`);
    return { ...webgpu, device, threads: count, notes };
  } catch (error) {
    if (signal?.aborted) throw error;
    return { ...wasm, device: "wasm", threads: count, notes: [...notes, noWebGpu(reasonOf(error))] };
  }
}

function chooseThreads(ort: OrtWeb, state: ModuleState, threads: number): string[] {
  if (state.threads !== undefined)
    return threads === state.threads
      ? []
      : [
          `${state.threads} thread${state.threads === 1 ? "" : "s"} and not ${threads}: another runtime has started this module of onnxruntime-web.`,
        ];
  const possible = typeof SharedArrayBuffer !== "undefined" && globalThis.crossOriginIsolated !== false;
  state.threads = possible ? threads : 1;
  ort.env.wasm.numThreads = state.threads;
  return threads === state.threads
    ? []
    : [
        "One thread: the page is not cross-origin isolated, so there is no SharedArrayBuffer. Serve it with the headers Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp.",
      ];
}

async function checkAdapter(): Promise<void> {
  const gpu = (globalThis.navigator as { gpu?: { requestAdapter(): Promise<unknown> } } | undefined)?.gpu;
  if (!gpu)
    throw new Error(
      globalThis.isSecureContext === false
        ? "browsers offer it only to pages from https or localhost"
        : "this browser does not offer it",
    );
  if (!(await gpu.requestAdapter())) throw new Error("this browser finds no graphics adapter that it would use");
}

/** What ONNX Runtime said, without our own sentence around it. */
function reasonOf(error: unknown): string {
  const inner = error instanceof Error && error.cause !== undefined ? error.cause : error;
  const text = inner instanceof Error ? inner.message : String(inner);
  return /backend not found/.test(text) ? "this module has none, onnxruntime-web/webgpu has it" : text.split("\n")[0];
}

/** Of values between -2 and 2. */
const TOLERANCE = 1e-4;

/** A product, a convolution, a softmax and the gradient of it all, which stays on the device until it is read. */
async function checkValues(runtime: Runtime): Promise<readonly number[]> {
  const wave = (size: number, of: number) => Float32Array.from({ length: size }, (_, i) => Math.sin(of * (i + 1)));
  const [x, w, k] = [input("x", [2, 4, 5, 5]), input("w", [6, 20]), input("k", [6, 4, 3, 3])];
  const y = softmax(matmul(reshape(conv2d(x, k, undefined, { padding: 1 }), [10, 30]), reshape(w, [30, 4])));
  const [g] = vjp([mean(square(y))], [constant(1)], [k]);
  const program = await runtime.compile({ y, g }, { keep: ["g"] });
  try {
    const made = await program.run({ x: wave(200, 1), w: wave(120, 2), k: wave(216, 3) });
    const gradient = await runtime.read(made.g.data);
    runtime.release(made.g.data);
    return [...made.y.data, ...gradient].map(Number);
  } finally {
    await program.dispose();
  }
}
