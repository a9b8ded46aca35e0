// Tensors of one or several safetensors files by name, from the headers alone: values are read when they are asked for,
// so that a model may be larger than memory.
import { brief, show } from "../core/show.ts";
import { decodeTensor, headerLength, parseHeader, readableType, type StoredTensor } from "./safetensors.ts";
import type { RangeSource } from "./source.ts";

/** Where a tensor lies: bytes [start, end) of a file of the index's source. */
export interface TensorPlace {
  readonly file: string;
  /** As the file says it; what is not read is named when its values are asked for. */
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly start: number;
  readonly end: number;
  /** A matrix that is stored the other way round: `shape` is how it is read. */
  readonly transposed?: boolean;
}

export interface TensorIndex {
  /** What messages call it. */
  readonly name: string;
  readonly source: RangeSource;
  readonly tensors: ReadonlyMap<string, TensorPlace>;
  /** Of the first file. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** As in the reference implementation. */
const LARGEST_HEADER = 100_000_000;

/** The tensors of one file. Throws an Error, one sentence, for anything that is not safetensors. */
export async function indexFile(source: RangeSource, file: string): Promise<TensorIndex> {
  const name = `${source.name}/${file}`;
  const size = await source.size(file);
  const length = headerLength(await source.range(file, 0, Math.min(8, size)), size, name);
  if (length > LARGEST_HEADER)
    throw new Error(`${name} says that its header has ${length} bytes, expected at most ${LARGEST_HEADER}.`);
  const { entries, metadata } = parseHeader(await source.range(file, 8, length), size, name);
  return { name, source, metadata, tensors: new Map([...entries].map(([key, entry]) => [key, { file, ...entry }])) };
}

/**
 * The tensors of a model in shards, from its index file (`{"weight_map": {name: file}}`). Throws an Error, one sentence,
 * for shards that are missing, lie elsewhere, or hold other tensors than the index says.
 */
export async function indexShards(source: RangeSource, indexFileName: string): Promise<TensorIndex> {
  const name = `${source.name}/${indexFileName}`;
  const map = weightMap(await source.read(indexFileName), name);
  const slash = indexFileName.lastIndexOf("/") + 1;
  const folder = indexFileName.slice(0, slash);
  const shards = [...new Set(map.values())].sort();
  const present = new Set(await source.list());
  const lacking = shards.filter((shard) => !present.has(folder + shard));
  if (lacking.length > 0)
    throw new Error(`${name} names ${someOf(lacking)}, which ${are(lacking)} not there. Get the missing files.`);
  const tensors = new Map<string, TensorPlace>();
  const strange: string[] = [];
  let metadata: TensorIndex["metadata"] = {};
  for (const shard of shards) {
    const index = await indexFile(source, folder + shard);
    if (shard === shards[0]) metadata = index.metadata;
    for (const [key, place] of index.tensors) {
      if (map.get(key) === shard) tensors.set(key, place);
      else strange.push(key);
    }
  }
  const missing = [...map.keys()].filter((key) => !tensors.has(key));
  if (missing.length > 0)
    throw new Error(
      `${name} names ${someOf(missing)}, which ${are(missing)} not in the file it says. Get the files again.`,
    );
  if (strange.length > 0)
    throw new Error(`The shards beside ${name} hold ${someOf(strange)}, which it does not name. Get the files again.`);
  return { name, source, tensors, metadata };
}

function weightMap(bytes: Uint8Array, name: string): Map<string, string> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new Error(`${name} is not JSON, expected the index of a model in shards.`, { cause });
  }
  const map: unknown =
    typeof parsed === "object" && parsed !== null && "weight_map" in parsed ? parsed.weight_map : null;
  if (typeof map !== "object" || map === null || Array.isArray(map) || Object.keys(map).length === 0)
    throw new Error(`${name} has no "weight_map", expected an object of tensor names and files.`);
  return new Map(
    Object.entries(map).map(([key, file]: [string, unknown]) => {
      if (typeof file !== "string" || !/^[^/\\:]+\.safetensors$/.test(file))
        throw new Error(
          `${name} says that "${brief(key)}" is in ${show(file)}, expected the name of a .safetensors file in its own folder.`,
        );
      return [key, file];
    }),
  );
}

/** Throws an Error for a name that the index lacks, and for a file that has become shorter. */
export async function readTensor(index: TensorIndex, name: string): Promise<StoredTensor> {
  const place = index.tensors.get(name);
  if (!place) throw new Error(`${index.name} has no tensor "${brief(name)}".`);
  readableType(name, place, index.name);
  const bytes = await index.source.range(place.file, place.start, place.end - place.start);
  if (!place.transposed) return decodeTensor(bytes, place);
  const [rows, columns] = place.shape;
  const stored = decodeTensor(bytes, { dtype: place.dtype, shape: [columns, rows] });
  if (!(stored.data instanceof Float32Array))
    throw new Error(`"${brief(name)}" of ${index.name} is stored as ${place.dtype}, expected floats.`);
  return { ...stored, shape: place.shape, data: transposed(stored.data, columns) };
}

/** A matrix of `rows` rows the other way round. */
export function transposed(data: Float32Array, rows: number): Float32Array {
  const columns = data.length / rows;
  const out = new Float32Array(data.length);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) out[c * rows + r] = data[r * columns + c];
  return out;
}

/** The same tensors under other names and shapes; one can become none or several. Throws an Error where two get one name. */
export function mapTensors(
  index: TensorIndex,
  change: (name: string, place: TensorPlace) => readonly (readonly [string, TensorPlace])[],
): TensorIndex {
  const tensors = new Map<string, TensorPlace>();
  for (const [old, place] of index.tensors)
    for (const [name, changed] of change(old, place)) {
      if (tensors.has(name)) throw new Error(`${index.name} holds "${brief(name)}" twice, once as "${brief(old)}".`);
      tensors.set(name, changed);
    }
  return { ...index, tensors };
}

/** "a, b, c and 4 more". */
export const someOf = (names: readonly string[], most = 4): string =>
  `${names
    .slice(0, most)
    .map((name) => brief(name, 90))
    .join(", ")}${names.length > most ? ` and ${names.length - most} more` : ""}`;
const are = (names: readonly string[]) => (names.length === 1 ? "is" : "are");
