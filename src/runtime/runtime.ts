// Programs on ONNX Runtime. Everything here works with any build of it (Node, browser): the module is an argument.

import { type Device, emitModel, type Outputs, type Precision, type Tensor } from "../graph/index.ts";
import { type Hasher, sha256Pieces, sha256With } from "../hash.ts";
import { channelBlock } from "./channelBlock.ts";
import { type Held, inputLike, type Opened, onDevice, release, runSession } from "./exchange.ts";
import { writesInPlace } from "./inPlace.ts";
import { checkDevice, keeps, openSession } from "./session.ts";
import { endOfRun } from "./uncopied.ts";

export type Feed = Float32Array | BigInt64Array | Uint8Array;
export interface Fetched<D extends Held = Feed> {
  readonly data: D;
  readonly shape: readonly number[];
}
export type Feeds = Readonly<Record<string, Held>>;

/** The part of onnxruntime-common that is used; both onnxruntime-node and onnxruntime-web satisfy it. */
export interface OrtModule {
  InferenceSession: {
    create(model: Uint8Array, options?: OrtSessionOptions): Promise<OrtSession>;
  };
  Tensor: new (
    type: "float32" | "int64" | "int32" | "bool",
    data: Feed | Int32Array,
    dims: readonly number[],
  ) => OrtTensor;
  /** Whether what it throws is said in sentences already. */
  readonly sentences?: boolean;
}
export interface OrtSessionOptions {
  executionProviders?: readonly string[];
  graphOptimizationLevel?: "disabled" | "basic" | "extended" | "all";
  intraOpNumThreads?: number;
  interOpNumThreads?: number;
  logSeverityLevel?: 0 | 1 | 2 | 3 | 4;
  enableMemPattern?: boolean;
  enableProfiling?: boolean;
  profileFilePrefix?: string;
  preferredOutputLocation?: Readonly<Record<string, "cpu" | "gpu-buffer">>;
  extra?: Readonly<Record<string, Readonly<Record<string, string>>>>;
}
export interface OrtTensor {
  readonly dims: readonly number[];
  readonly data: unknown;
  readonly location: string;
  dispose(): void;
}
export interface OrtSession {
  run(
    feeds: Readonly<Record<string, OrtTensor>>,
    fetches?: Readonly<Record<string, OrtTensor | null>>,
  ): Promise<Readonly<Record<string, OrtTensor>>>;
  release(): Promise<void>;
  endProfiling?(): void;
}

export type Results<K extends string, H extends K> = { [k in K]: Fetched<k extends H ? Held : Feed> };

/** `H`: the outputs that may stay on the device. */
export interface Program<K extends string = string, H extends K = never> {
  readonly inputs: readonly Tensor[];
  /** ONNX nodes by type. */
  readonly counts: ReadonlyMap<string, number>;
  /**
   * Runs once. `into` gives buffers for some outputs: they are written in place and returned, so that a loop can
   * reuse memory (a buffer must not be one of the feeds). What an output left on the device in an earlier run is
   * such a buffer too: it is released for the new one. Throws a sentence naming a missing, unknown or wrongly sized feed.
   */
  run(feeds: Feeds, into?: { readonly [k in K]?: k extends H ? Held : Feed }): Promise<Results<K, H>>;
  /** Frees the session when its last user is gone. */
  dispose(): Promise<void>;
}

export interface CompileOptions<H extends string = string> {
  /** float16: products and convolutions in half precision, inputs and outputs in float32. Default float32. */
  precision?: Precision;
  /** Default: all; extended where weights lie in files, for which "all" pays from about twenty evaluations on. */
  optimization?: "basic" | "extended" | "all";
  /**
   * Whether matrices are copied into the order that is fastest for them. Default: yes, but not those in files, which are used
   * as they lie there: programs, also of other processes, hold them once (docs/delta-weights.md has what it costs).
   */
  prepack?: boolean;
  /** Writes an ONNX Runtime profile with this prefix when the program is disposed. */
  profile?: string;
  /** Throws where an operator would run on the CPU instead of the device; placement() in node.ts names it. */
  deviceOnly?: boolean;
  /**
   * Outputs that stay on the device, to be fed to the next run or read with `Runtime.read`; on a device that shares the
   * host's memory they are ordinary arrays.
   */
  keep?: readonly H[];
}

export interface Runtime {
  readonly device: Device;
  readonly threads: number;
  compile<K extends string, H extends K = never>(
    outputs: Outputs<K>,
    options?: CompileOptions<H>,
  ): Promise<Program<K, H>>;
  /** Throws a sentence where the device does not compute in that precision. */
  supports(precision: Precision): Promise<void>;
  /** A copy on the host. */
  read(x: Held): Promise<Feed>;
  /** Gives the memory of a value on the device back. */
  release(x: Held): void;
  /** Sessions that are open now: zero after everything was disposed. */
  open(): number;
}

interface Cached {
  session: Promise<OrtSession>;
  users: number;
}

/** `hasher`: a faster SHA-256 for models over 1 GiB, where there is one. */
export function createRuntime(
  ort: OrtModule,
  device: Device,
  threads: number,
  hasher: () => Hasher = sha256Pieces,
): Runtime {
  const cache = new Map<string, Cached>();
  let block: number | undefined;
  let end: string | null | undefined;
  let inPlace: boolean | undefined;
  // What is on the device ends with the last session there.
  let life = 0;
  const checked = new Map<Precision, Promise<void>>();
  const supports = async (precision: Precision): Promise<void> => {
    if (precision === "float32" && (device === "cpu" || device === "wasm")) return;
    const check = checked.get(precision) ?? checkDevice(ort, device, precision);
    checked.set(precision, check);
    await check;
  };
  const compile = async <K extends string, H extends K = never>(
    outputs: Outputs<K>,
    options: CompileOptions<H> = {},
  ): Promise<Program<K, H>> => {
    block ??= device === "cpu" ? await channelBlock(ort) : 1;
    const { precision = "float32" } = options;
    if (precision === "float16") await supports(precision);
    if (end === undefined) end = device === "cpu" ? await endOfRun(ort) : null;
    inPlace ??= end !== null || (await writesInPlace(ort, device));
    const model = emitModel(outputs, device, block, precision, end !== null);
    const files = model.external ? [model.external.folder, ...model.external.versions] : [];
    const key = `${await sha256With(hasher, model.bytes)}|${JSON.stringify(options)}|${JSON.stringify(files)}`;
    const cached = cache.get(key) ?? { session: openSession(ort, device, threads, model, options), users: 0 };
    cached.users++;
    cache.set(key, cached);
    const strange = options.keep?.find((name) => !(name in outputs));
    if (strange !== undefined)
      throw new Error(`The program has no output "${strange}" to keep. It has: ${Object.keys(outputs).join(", ")}.`);
    const keep = keeps(device) ? new Set<string>(options.keep) : new Set<string>();
    let opened: Opened;
    try {
      opened = { ort, device, session: await cached.session, model, keep, life, end, inPlace };
    } catch (error) {
      cache.delete(key);
      throw error;
    }
    let open = true;
    return {
      inputs: model.inputs,
      counts: model.counts,
      run: async (feeds, into) => {
        if (!open) throw new Error("This program was disposed: compile it again to run it.");
        return (await runSession(opened, feeds, into)) as Results<K, H>;
      },
      async dispose() {
        if (!open) return;
        open = false;
        if (--cached.users > 0) return;
        cache.delete(key);
        if (cache.size === 0) life++;
        if (options.profile) opened.session.endProfiling?.();
        await opened.session.release();
      },
    };
  };
  return {
    device,
    threads,
    open: () => cache.size,
    compile,
    supports,
    async read(x) {
      if (!onDevice(x)) return x.slice();
      // ONNX Runtime 1.30 for Node aborts when asked for the data of such a tensor, so a program copies it.
      const program = await compile({ x: inputLike(x) });
      try {
        return (await program.run({ x })).x.data;
      } finally {
        await program.dispose();
      }
    },
    release,
  };
}
