// Programs on ONNX Runtime. Everything here works with any build of it (Node, browser): the module is an argument.

import { type Device, type EmittedModel, emitModel, type Outputs, sizeOf, type Tensor } from "../graph/index.ts";
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
  Tensor: new (
    type: "float32" | "int64" | "int32" | "bool",
    data: Feed | Int32Array,
    dims: readonly number[],
  ) => OrtTensor;
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
  extra?: Readonly<Record<string, Readonly<Record<string, string>>>>;
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
  /** Throws where an operator would run on the CPU instead of the device; placement() in node.ts names it. */
  deviceOnly?: boolean;
}

export interface Runtime {
  readonly device: Device;
  readonly threads: number;
  compile<K extends string>(outputs: Outputs<K>, options?: CompileOptions): Promise<Program<K>>;
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
          return runSession(ort, device, session, model, feeds, into);
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
    ...(options.deviceOnly ? { extra: { session: { disable_cpu_ep_fallback: "1" } } } : {}),
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

/** WebGPU's integers have 32 bits: see onnxType in emitter.ts. */
function toDevice(ort: OrtModule, device: Device, data: Feed, { dtype, shape }: Pick<Tensor, "dtype" | "shape">) {
  if (device !== "webgpu" || !(data instanceof BigInt64Array)) return new ort.Tensor(dtype, data, shape);
  const large = data.find((x) => x !== BigInt.asIntN(32, x));
  if (large !== undefined) throw new RangeError(`The integer ${large} does not fit into the 32 bits of WebGPU.`);
  return new ort.Tensor("int32", Int32Array.from(data, Number), shape);
}
const fromDevice = (data: Feed | Int32Array): Feed =>
  data instanceof Int32Array ? BigInt64Array.from(data, BigInt) : data;

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
  device: Device,
  session: OrtSession,
  model: EmittedModel,
  feeds: Feeds,
  into?: Readonly<Partial<Record<K, Feed>>>,
): Promise<Record<K, Fetched>> {
  const given: Record<string, OrtTensor> = {};
  const known = new Set<string>();
  for (const x of model.inputs) {
    if (x.source.kind !== "input") continue;
    const { name, part } = x.source;
    const feed = part?.of ?? name;
    const size = part?.total ?? sizeOf(x.shape);
    const data = feeds[feed];
    const shape = part ? [size] : x.shape;
    if (!data) throw new Error(`The program needs a feed "${feed}" of shape [${shape}].`);
    if (data.length !== size || typeOf(data) !== x.dtype)
      throw new RangeError(
        `Feed "${feed}": expected ${size} ${x.dtype} values of shape [${shape}], got ${data.length} of ${typeOf(data)}.`,
      );
    known.add(feed);
    given[name] = toDevice(ort, device, part ? window(data, part.offset, sizeOf(x.shape)) : data, x);
  }
  const unknown = Object.keys(feeds).find((name) => !known.has(name));
  if (unknown !== undefined)
    throw new Error(`The program has no input "${unknown}". It takes: ${[...known].join(", ") || "nothing"}.`);
  // Buffers are needed where the caller gives them, and for lists, whose pieces are windows of one.
  const buffers = new Map<string, Feed>();
  for (const { key, dtype, part } of model.outputs) {
    const buffer = into?.[key as K];
    if (buffer) buffers.set(key, buffer);
    else if (part && !buffers.has(key)) buffers.set(key, allocate(dtype, part.total));
  }
  const fetches: Record<string, OrtTensor> = {};
  for (const { key, name, shape, dtype, part } of buffers.size > 0 ? model.outputs : []) {
    const buffer = buffers.get(key) ?? allocate(dtype, sizeOf(shape));
    fetches[name] = toDevice(ort, device, part ? window(buffer, part.offset, sizeOf(shape)) : buffer, { dtype, shape });
  }
  const results = await (buffers.size > 0 ? session.run(given, fetches) : session.run(given));
  return Object.fromEntries(
    model.outputs.map(({ key, name, shape, part }) => [
      key,
      part
        ? { data: buffers.get(key), shape: [part.total] }
        : { data: fromDevice(results[name].data as Feed | Int32Array), shape },
    ]),
  ) as Record<K, Fetched>;
}

const window = (data: Feed, offset: number, size: number): Feed => data.subarray(offset, offset + size);

export const allocate = (dtype: Tensor["dtype"], size: number): Feed =>
  dtype === "float32" ? new Float32Array(size) : dtype === "int64" ? new BigInt64Array(size) : new Uint8Array(size);

const typeOf = (data: Feed): Tensor["dtype"] =>
  data instanceof Float32Array ? "float32" : data instanceof BigInt64Array ? "int64" : "bool";

async function sha256(bytes: Uint8Array): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>);
  return Array.from(new Uint8Array(digest), (b) => b.toString(16).padStart(2, "0")).join("");
}
