// Weights that a program reads from files itself: which of an index can be read where they lie, and the others as a file of
// float32 that can.
import { floatsOf, type LazyTensor, lazyChunks } from "../data/safetensors.ts";
import { readTensor, type TensorIndex, type TensorPlace } from "../data/tensorIndex.ts";
import type { ExternalArray } from "../nn/params.ts";
import type { Change } from "./rewrite.ts";

/** Whether float32 values lie in the file as they are read. */
export const liesReady = ({ dtype, start, transposed }: TensorPlace): boolean =>
  dtype === "F32" && start % 4 === 0 && transposed !== true;

/** What a program has to know of a file: see ExternalPlace. */
export interface ExternalFile {
  readonly folder: string;
  readonly location: string;
  readonly version?: string;
}

/** The tensors that lie ready, for `fromExternal`. `file` says of each file of the index's source where it is. */
export function externalArrays(index: TensorIndex, file: (name: string) => ExternalFile): Map<string, ExternalArray> {
  return new Map(
    [...index.tensors]
      .filter(([, place]) => liesReady(place))
      .map(([name, place]) => [name, { shape: place.shape, place: { ...file(place.file), offset: place.start } }]),
  );
}

/**
 * A safetensors file of those that do not lie ready, widened to float32, or are changed; one tensor is held at a time.
 */
export function widenedChunks(
  index: TensorIndex,
  changes: ReadonlyMap<string, Change> = new Map(),
): AsyncGenerator<Uint8Array> {
  const lazy = [...index.tensors].flatMap(([key, place]): LazyTensor[] =>
    liesReady(place) && !changes.has(key)
      ? []
      : [
          {
            key,
            dtype: "F32",
            shape: place.shape,
            data: async () => {
              const values = floatsOf(new Map([[key, await readTensor(index, key)]]), key);
              return (await changes.get(key)?.(values)) ?? values;
            },
          },
        ],
  );
  return lazyChunks(lazy, { format: "pt" });
}

/** What says that two indexes have the same widened file: names, types and places, next to the state of their files. */
export const indexIdentity = (index: TensorIndex, version: (file: string) => string): string =>
  JSON.stringify([
    [...new Set([...index.tensors.values()].map(({ file }) => file))].sort().map((file) => [file, version(file)]),
    [...index.tensors].map(([name, { file, dtype, shape, start, transposed }]) => [
      ...[name, file, dtype, shape, start, transposed === true],
    ]),
  ]);
