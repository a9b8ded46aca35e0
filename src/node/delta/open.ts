// Opening deltas and LoRAs, and what a delta of ours says of itself.
import { stat } from "node:fs/promises";
import { basename, dirname } from "node:path";
import type { TensorIndex } from "../../data/tensorIndex.ts";
import { indexFile } from "../../data/tensorIndex.ts";
import { type Card, parseCard } from "../../run/card.ts";
import { nodeHasher } from "../../runtime/node.ts";
import { folderSource } from "../folderSource.ts";

export async function openLora(path: string): Promise<TensorIndex> {
  const info = await stat(path).catch(() => undefined);
  if (!info?.isFile()) throw new Error(`${path} is no file, expected a LoRA as .safetensors.`);
  return { ...(await indexFile(folderSource(dirname(path)), basename(path))), name: path };
}

/** SHA-256 of weights: names in order, shapes, and values as they are stored. */
export async function hashOf(index: TensorIndex): Promise<string> {
  const hasher = nodeHasher();
  for (const [name, place] of [...index.tensors].sort(([a], [b]) => (a < b ? -1 : 1))) {
    hasher.update(new TextEncoder().encode(`${name} ${place.dtype} ${place.shape.join()}\n`));
    hasher.update(await index.source.range(place.file, place.start, place.end - place.start));
  }
  return hasher.digest();
}

/** What `delta extract` writes into the metadata. Files of others have none of it. */
export interface DeltaNotes {
  /** Of the base that was subtracted. */
  readonly base?: string;
  /** How the student is sampled, where it was a model of fewstep. */
  readonly card?: Card;
}

/** Throws an Error for a card that is damaged. */
export function notesOf({ metadata, name }: TensorIndex): DeltaNotes {
  const { fewstep_base: base, fewstep_card: card } = metadata;
  if (card === undefined) return { base };
  let parsed: unknown;
  try {
    parsed = JSON.parse(card);
  } catch (cause) {
    throw new Error(`The card in ${name} is not JSON. Extract the delta again.`, { cause });
  }
  return { base, card: parseCard(parsed, `the card in ${name}`) };
}
