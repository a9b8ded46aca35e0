// The models that come with the page, loaded when they are first shown.
import type { Card } from "fewstep/browser";
import type { ModelParts } from "../worker/protocol.ts";

const held = new Map<string, Promise<ModelParts>>();

async function bytes(path: string): Promise<Uint8Array> {
  const answer = await fetch(new URL(path, document.baseURI)).catch(() => undefined);
  if (!answer?.ok)
    throw new Error(`${path} could not be loaded${answer ? ` (${answer.status})` : ": there is no connection"}.`);
  return new Uint8Array(await answer.arrayBuffer());
}

/** "moons/perflow". Throws an Error, a sentence, where it cannot be loaded. */
export function shippedModel(name: string): Promise<ModelParts> {
  const known = held.get(name);
  if (known) return known;
  const made = Promise.all([bytes(`models/${name}/card.json`), bytes(`models/${name}/model.safetensors`)]).then(
    ([card, weights]) => ({ card: JSON.parse(new TextDecoder().decode(card)) as Card, weights }),
  );
  held.set(name, made);
  made.catch(() => held.delete(name));
  return made;
}
