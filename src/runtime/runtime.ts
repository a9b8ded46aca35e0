// Programs on ONNX Runtime. Everything here works with any build of it (Node, browser): the module is an argument.

import { type Device, type EmittedModel, emitModel, sizeOf, type Tensor } from "../graph/index.ts";
import { channelBlock } from "./channelBlock.ts";

export type Feed = Float32Array | BigInt64Array | Uint8Array;
export interface Fetched {
  readonly data: Feed;
  readonly shape: readonly number[];
}
export type Feeds = Readonly<Record<string, Feed>>;

/** The part of onnxruntime-common that is used; both onnxruntime-node and onnxruntime-web satisfy it. */
export interface OrtModule {
  InferenceSession: {
    create(model: Uint8Array, options?: OrtSessionOptions): Promise<OrtSession>;
  };
  Tensor: new (type: "float32" | "int64" | "bool", data: Feed, dims: readonly number[]) => OrtTensor;
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
}
export interface OrtTensor {
  readonly dims: readonly number[];
  readonly data: unknown;
  dispose(): void;
}
export interface OrtSession {
  run(
    feeds: Readonly<Record<string, OrtTensor>>,
    fetches?: Readonly<Record<string, OrtTensor>>,
  ): Promise<Readonly<Record<string, OrtTensor>>>;
  release(): Promise<void>;
  endProfiling?(): void;
}

export interface Program<K extends string = string> {
  readonly inputs: readonly Tensor[];
  /** ONNX nodes by type. */
  readonly counts: ReadonlyMap<string, number>;
  /**
   * Runs once. `into` gives buffers for some outputs: they are written in place and returned, so that a loop can
   * reuse memory (a buffer must not be one of the feeds). Throws a sentence naming a missing, unknown or
   * wrongly sized feed.
   */
  run(feeds: Feeds, into?: Readonly<Partial<Record<K, Feed>>>): Promise<Record<K, Fetched>>;
  /** Frees the session when its last user is gone. */
  dispose(): Promise<void>;
}

export interface CompileOptions {
  optimization?: "basic" | "extended" | "all";
  /** Writes an ONNX Runtime profile with this prefix when the program is disposed. */
  profile?: string;
}

export interface Runtime {
  readonly device: Device;
  readonly threads: number;
  compile<K extends string>(outputs: Readonly<Record<K, Tensor>>, options?: CompileOptions): Promise<Program<K>>;
  /** Sessions that are open now: zero after everything was disposed. */
  open(): number;
}

interface Cached {
  session: Promise<OrtSession>;
  users: number;
}

export function createRuntime(ort: OrtModule, device: Device, threads: number): Runtime {
  const cache = new Map<string, Cached>();
  let block: number | undefined;
  return {
    device,
    threads,
    open: () => cache.size,
    async compile(outputs, options = {}) {
      block ??= device === "cpu" ? await channelBlock(ort) : 1;
      const model = emitModel(outputs, device, block);
      const key = `${await sha256(model.bytes)}|${JSON.stringify(options)}`;
      const cached = cache.get(key) ?? { session: openSession(ort, device, threads, model, options), users: 0 };
      cached.users++;
      cache.set(key, cached);
      let session: OrtSession;
      try {
        session = await cached.session;
      } catch (error) {
        cache.delete(key);
        throw error;
      }
      let open = true;
      return {
        inputs: model.inputs,
        counts: model.counts,
        run: (feeds, into) => {
          if (!open) throw new Error("This program was disposed: compile it again to run it.");
          return runSession(ort, session, model, feeds, into);
        },
        async dispose() {
          if (!open) return;
          open = false;
          if (--cached.users > 0) return;
          cache.delete(key);
          if (options.profile) session.endProfiling?.();
          await session.release();
        },
      };
    },
  };
}

async function openSession(
  ort: OrtModule,
  device: Device,
  threads: number,
  model: EmittedModel,
  options: CompileOptions,
): Promise<OrtSession> {
  const session = ort.InferenceSession.create(model.bytes, {
    executionProviders: [device],
    graphOptimizationLevel: options.optimization ?? "all",
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    // The pattern's single block would come on top of what the first run allocated: half as much memory again, or more.
    enableMemPattern: false,
    logSeverityLevel: 3,
    ...(options.profile ? { enableProfiling: true, profileFilePrefix: options.profile } : {}),
  });
  try {
    return await session;
  } catch (cause) {
    if (device === "cpu" || device === "wasm") throw cause;
    throw new Error(
      `The device ${device} cannot run this program: ${firstLine(cause)} Use --device cpu, or install what ONNX Runtime needs for ${device}.`,
      { cause },
    );
  }
}

/** What a native error says, without its stack, colors and source files. */
function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  const line = text
    .split("\n")[0]
    .replace(/.*(\/onnxruntime_src\/\S+|was false\.)\s*/, "")
    .trim();
  return /[.!?]$/.test(line) ? line : `${line}.`;
}

async function runSession<K extends string>(
  ort: OrtModule,
  session: OrtSession,
  model: EmittedModel,
  feeds: Feeds,
  into?: Readonly<Partial<Record<K, Feed>>>,
): Promise<Record<K, Fetched>> {
  const given: Record<string, OrtTensor> = {};
  for (const x of model.inputs) {
    const name = x.source.kind === "input" ? x.source.name : "";
    const data = feeds[name];
    if (!data) throw new Error(`The program needs a feed "${name}" of shape [${x.shape}].`);
    if (data.length !== sizeOf(x.shape) || typeOf(data) !== x.dtype)
      throw new RangeError(
        `Feed "${name}": expected ${sizeOf(x.shape)} ${x.dtype} values of shape [${x.shape}], got ${data.length} of ${typeOf(data)}.`,
      );
    given[name] = new ort.Tensor(x.dtype, data, x.shape);
  }
  const unknown = Object.keys(feeds).find((name) => !(name in given));
  if (unknown !== undefined)
    throw new Error(`The program has no input "${unknown}". It takes: ${Object.keys(given).join(", ") || "nothing"}.`);
  const fetches: Record<string, OrtTensor> = {};
  let reused = false;
  for (const { key, name, shape, dtype } of model.outputs) {
    const buffer = into?.[key as K];
    if (!buffer) continue;
    fetches[name] = new ort.Tensor(dtype, buffer, shape);
    reused = true;
  }
  let results: Readonly<Record<string, OrtTensor>>;
  if (reused) {
    for (const { name, shape, dtype } of model.outputs)
      fetches[name] ??= new ort.Tensor(dtype, allocate(dtype, sizeOf(shape)), shape);
    results = await session.run(given, fetches);
  } else results = await session.run(given);
  return Object.fromEntries(
    model.outputs.map(({ key, name, shape }) => [key, { data: results[name].data as Feed, shape }]),
  ) as Record<K, Fetched>;
}

const allocate = (dtype: Tensor["dtype"], size: number): Feed =>
  dtype === "float32" ? new Float32Array(size) : dtype === "int64" ? new BigInt64Array(size) : new Uint8Array(size);

const typeOf = (data: Feed): Tensor["dtype"] =>
  data instanceof Float32Array ? "float32" : data instanceof BigInt64Array ? "int64" : "bool";

async function sha256(bytes: Uint8Array): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>);
  return Array.from(new Uint8Array(digest), (b) => b.toString(16).padStart(2, "0")).join("");
}
