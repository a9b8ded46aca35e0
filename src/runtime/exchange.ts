// What goes into a run and comes out of it: named values on the host to ONNX Runtime's tensors and back.

import { type Device, type EmittedModel, input, inputParts, sizeOf, type Tensor } from "../graph/index.ts";
import { type Shape, sameShape } from "../graph/tensor.ts";
import type { Feed, Feeds, Fetched, OrtModule, OrtSession, OrtTensor } from "./runtime.ts";
import { runUncopied } from "./uncopied.ts";

/**
 * A value that stayed on the device after a run that kept it; only its shape is known here. It may be fed to programs
 * of the same runtime, as long as one of them is open, and takes memory until `release`.
 */
export interface DeviceTensor {
  readonly kind: "device";
  readonly shape: readonly number[];
  readonly dtype: Tensor["dtype"];
  /** Consecutive pieces, with the places in the whole at which they begin. */
  readonly pieces: readonly {
    readonly offset: number;
    readonly shape: readonly number[];
    readonly tensor: OrtTensor;
  }[];
  /** The life of the device it is on: it ends with the last open program. */
  readonly life: number;
}

/** A value on the host, or one that stayed on the device. */
export type Held = Feed | DeviceTensor;

export const onDevice = (x: Held): x is DeviceTensor => "kind" in x;

/** Gives the memory of a value on the device back; it cannot be fed after that. Nothing for one on the host. */
export function release(x: Held): void {
  if (onDevice(x)) for (const { tensor } of x.pieces) tensor.dispose();
}

/** An input "x" that takes the value as it lies on the device. */
export const inputLike = ({ dtype, pieces }: DeviceTensor): Tensor | readonly Tensor[] =>
  pieces.length === 1
    ? input("x", pieces[0].shape, dtype)
    : inputParts(
        "x",
        pieces.map(({ shape }) => shape),
      );

export interface Opened {
  readonly ort: OrtModule;
  readonly device: Device;
  readonly session: OrtSession;
  readonly model: EmittedModel;
  /** Outputs that stay on the device. */
  readonly keep: ReadonlySet<string>;
  readonly life: number;
  /** How a run ends whose outputs are not copied; null: they are. See uncopied.ts. */
  readonly end: string | null;
  /** Whether results are written into buffers that are given; see inPlace.ts. */
  readonly inPlace: boolean;
}

/** One run. Throws a sentence naming a missing, unknown or wrongly sized feed. */
export async function runSession(
  opened: Opened,
  feeds: Feeds,
  into: Readonly<Record<string, Held | undefined>> = {},
): Promise<Record<string, Fetched<Held>>> {
  const { session, model, keep, end, inPlace } = opened;
  const given = takeFeeds(opened, feeds);
  // Buffers are needed where the caller gives them, for lists, whose pieces are windows of one, and where they are results.
  const buffers = new Map<string, Feed>();
  for (const { key, shape, dtype, part } of model.outputs) {
    const buffer = into[key];
    if (keep.has(key)) {
      // A kept result has new memory; that of the buffer may become it.
      if (buffer) release(buffer);
    } else if (buffer && onDevice(buffer)) throw new TypeError(`The output "${key}" does not stay on the device.`);
    else if (buffer) buffers.set(key, buffer);
    else if ((part || end !== null) && !buffers.has(key))
      buffers.set(key, allocate(dtype, part?.total ?? sizeOf(shape)));
  }
  const fetches: Record<string, OrtTensor | null> = {};
  for (const { key, name, shape, dtype, part } of inPlace && buffers.size > 0 ? model.outputs : []) {
    const buffer = buffers.get(key) ?? allocate(dtype, sizeOf(shape));
    const target = part ? window(buffer, part.offset, sizeOf(shape)) : buffer;
    fetches[name] = keep.has(key) ? null : toOrt(opened, target, { dtype, shape });
  }
  if (end !== null) {
    await runUncopied(session, end, given, fetches);
    return collect(opened, {}, buffers);
  }
  const results = await (inPlace && buffers.size > 0 ? session.run(given, fetches) : session.run(given));
  return collect(opened, results, buffers);
}

function takeFeeds(opened: Opened, feeds: Feeds): Record<string, OrtTensor> {
  const given: Record<string, OrtTensor> = {};
  const known = new Set<string>();
  for (const x of opened.model.inputs) {
    if (x.source.kind !== "input") continue;
    const { name, part } = x.source;
    const feed = part?.of ?? name;
    const size = part?.total ?? sizeOf(x.shape);
    const data = feeds[feed];
    const shape = part ? [size] : x.shape;
    if (!data) throw new Error(`The program needs a feed "${feed}" of shape [${shape}].`);
    const [length, type] = onDevice(data) ? [sizeOf(data.shape), data.dtype] : [data.length, typeOf(data)];
    if (length !== size || type !== x.dtype)
      throw new RangeError(
        `Feed "${feed}": expected ${size} ${x.dtype} values of shape [${shape}], got ${length} of ${type}.`,
      );
    known.add(feed);
    given[name] = onDevice(data)
      ? pieceOf(opened, feed, data, part?.offset ?? 0, x.shape)
      : toOrt(opened, part ? window(data, part.offset, sizeOf(x.shape)) : data, x);
  }
  const unknown = Object.keys(feeds).find((name) => !known.has(name));
  if (unknown !== undefined)
    throw new Error(`The program has no input "${unknown}". It takes: ${[...known].join(", ") || "nothing"}.`);
  return given;
}

function pieceOf({ life }: Opened, feed: string, x: DeviceTensor, offset: number, shape: Shape): OrtTensor {
  if (x.life !== life)
    throw new Error(`Feed "${feed}" was on the device when its last program was disposed: it is gone.`);
  const piece = x.pieces.find((p) => p.offset === offset && sameShape(p.shape, shape));
  if (!piece)
    throw new RangeError(
      `Feed "${feed}" lies on the device in other pieces or another shape than this program takes: read it first.`,
    );
  if (piece.tensor.location !== "gpu-buffer") throw new Error(`Feed "${feed}" was released: it cannot be used again.`);
  return piece.tensor;
}

function collect(
  { model, keep, life, inPlace }: Opened,
  results: Readonly<Record<string, OrtTensor>>,
  buffers: ReadonlyMap<string, Feed>,
): Record<string, Fetched<Held>> {
  const fetched: Record<string, Fetched<Held>> = {};
  for (const { key, name, shape, dtype, part } of model.outputs) {
    const whole = part ? [part.total] : shape;
    if (keep.has(key)) {
      const before = fetched[key]?.data;
      const pieces = before && onDevice(before) ? before.pieces : [];
      const piece = { offset: part?.offset ?? 0, shape, tensor: results[name] };
      fetched[key] = { data: { kind: "device", shape: whole, dtype, pieces: [...pieces, piece], life }, shape: whole };
      continue;
    }
    const buffer = buffers.get(key);
    const data = results[name]?.data as Feed | Int32Array;
    // 32-bit integers are always written beside the buffer.
    if (buffer && (data instanceof Int32Array || !inPlace))
      fill(part ? window(buffer, part.offset, sizeOf(shape)) : buffer, fromOrt(data), key);
    fetched[key] = { data: buffer ?? fromOrt(data), shape: whole };
  }
  return fetched;
}

/** WebGPU's integers have 32 bits: see onnxType in emitter.ts. */
function toOrt({ ort, device }: Opened, data: Feed, { dtype, shape }: Pick<Tensor, "dtype" | "shape">): OrtTensor {
  if (device !== "webgpu" || !(data instanceof BigInt64Array)) return new ort.Tensor(dtype, data, shape);
  const large = data.find((x) => x !== BigInt.asIntN(32, x));
  if (large !== undefined) throw new RangeError(`The integer ${large} does not fit into the 32 bits of WebGPU.`);
  return new ort.Tensor("int32", Int32Array.from(data, Number), shape);
}
const fromOrt = (data: Feed | Int32Array): Feed =>
  data instanceof Int32Array ? BigInt64Array.from(data, BigInt) : data;

function fill(target: Feed, data: Feed, key: string): void {
  if (target.length !== data.length || typeOf(target) !== typeOf(data))
    throw new RangeError(
      `The output "${key}" has ${data.length} ${typeOf(data)} values, its buffer ${target.length} of ${typeOf(target)}.`,
    );
  (target as Float32Array).set(data as Float32Array);
}

const window = (data: Feed, offset: number, size: number): Feed => data.subarray(offset, offset + size);

export const allocate = (dtype: Tensor["dtype"], size: number): Feed =>
  dtype === "float32" ? new Float32Array(size) : dtype === "int64" ? new BigInt64Array(size) : new Uint8Array(size);

const typeOf = (data: Feed): Tensor["dtype"] =>
  data instanceof Float32Array ? "float32" : data instanceof BigInt64Array ? "int64" : "bool";
