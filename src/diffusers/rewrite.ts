// A file of weights again, with other values for some: names, shapes, types and metadata stay, and so the programs that read
// the original read it too.
import { encodeTensor, floatsOf, type LazyTensor, safetensorsLayout } from "../data/safetensors.ts";
import { readableType, type StoredDtype } from "../data/safetensorsHeader.ts";
import { readTensor, type TensorIndex, type TensorPlace, transposed } from "../data/tensorIndex.ts";

/** New values of a tensor from its old ones. */
export type Change = (values: Float32Array) => Float32Array | Promise<Float32Array>;

/**
 * `file`: one file under its own names. `views`: the names that changes use, for whole tensors of the file or slices of
 * them. `added`: tensors that the file did not have. One tensor is held at a time.
 */
export async function* rewritten(
  file: TensorIndex,
  views: TensorIndex,
  changes: ReadonlyMap<string, Change>,
  added: readonly LazyTensor[] = [],
): AsyncGenerator<Uint8Array> {
  const stored = [...file.tensors].map(([key, place]) => ({
    ...{ key, dtype: readableType(key, place, file.name), shape: place.shape },
    chunk: () => chunk(key, { ...place, dtype: readableType(key, place, file.name) }),
  }));
  const entries = [
    ...stored,
    ...added.map(({ key, dtype, shape, data }) => ({
      ...{ key, dtype, shape },
      chunk: async () => encodeTensor(key, dtype, await data()),
    })),
  ];
  const { header, order } = safetensorsLayout(entries, { ...file.metadata });
  const changed = [...views.tensors].filter(([name]) => changes.has(name));
  yield header;
  for (const { chunk } of order) yield await chunk();

  async function chunk(key: string, place: TensorPlace & { readonly dtype: StoredDtype }): Promise<Uint8Array> {
    const inside = changed.filter(([, v]) => v.file === place.file && v.start >= place.start && v.end <= place.end);
    return inside.length === 0
      ? file.source.range(place.file, place.start, place.end - place.start)
      : patched(file, key, place, views, inside, changes);
  }
}

async function patched(
  file: TensorIndex,
  key: string,
  place: TensorPlace & { readonly dtype: StoredDtype },
  views: TensorIndex,
  inside: readonly (readonly [string, TensorPlace])[],
  changes: ReadonlyMap<string, Change>,
): Promise<Uint8Array> {
  const floats = async (index: TensorIndex, name: string) =>
    floatsOf(new Map([[name, await readTensor(index, name)]]), name);
  const whole = (await floats(file, key)).slice();
  for (const [name, view] of inside) {
    const values = await changes.get(name)!(await floats(views, name));
    const size = (place.end - place.start) / whole.length;
    whole.set(view.transposed ? transposed(values, view.shape[0]) : values, (view.start - place.start) / size);
  }
  return encodeTensor(key, place.dtype, place.dtype === "F64" ? Float64Array.from(whole) : whole);
}
