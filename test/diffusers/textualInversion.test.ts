import { expect, it } from "vitest";
import { type WritableTensors, writeSafetensors } from "../../src/data/safetensors.ts";
import { readTextualInversion, withInversions } from "../../src/diffusers/textualInversion.ts";
import { clipTextParams } from "../../src/nn/diffusersParams.ts";
import { randomWeights, tinyText, tinyTokenizer } from "../support/tinyDiffusion.ts";

const file = (tensors: WritableTensors) => writeSafetensors(tensors);
const two = { shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) };

it("reads one entry named after its word, or emb_params named after its file", () => {
  const own = readTextualInversion(file({ "<cat>": two }), "some/learned.safetensors");
  expect(own).toEqual({ token: "<cat>", vectors: [Float32Array.of(1, 2, 3), Float32Array.of(4, 5, 6)] });
  const flat = { shape: [3], data: Float32Array.of(7, 8, 9) };
  expect(readTextualInversion(file({ "<dog>": flat }), "a.safetensors").vectors).toEqual([flat.data]);
  expect(readTextualInversion(file({ emb_params: two }), "C:\\some\\moody.safetensors").token).toBe("moody");
  expect(readTextualInversion(file({ emb_params: two }), "a.safetensors", "mine").token).toBe("mine");
});

it("refuses what is no textual inversion", () => {
  expect(() => readTextualInversion(file({ a: two, b: two }), "a.safetensors")).toThrow(
    "a.safetensors holds a, b, expected one entry named after its word, or emb_params.",
  );
  const cube = { shape: [1, 2, 3], data: two.data };
  expect(() => readTextualInversion(file({ a: cube }), "a.safetensors")).toThrow("a table of shape [1,2,3]");
  const ids = { shape: [2], data: BigInt64Array.of(1n, 2n) };
  expect(() => readTextualInversion(file({ a: ids }), "a.safetensors")).toThrow("expected floats");
  expect(() => readTextualInversion(new Uint8Array(40), "a.pt")).toThrow("a.pt is no zip archive");
});

it("adds words to tokenizer and encoder together", () => {
  const params = randomWeights(clipTextParams(tinyText), 1);
  const encoder = { config: tinyText, params };
  const vectors = [new Float32Array(8).fill(1), new Float32Array(8).fill(2)];
  const { tokenizer, config, params: grown } = withInversions(tinyTokenizer, encoder, [{ token: "<x>", vectors }]);
  const name = "text_model.embeddings.token_embedding.weight";
  expect(config.vocab_size).toBe(tinyText.vocab_size + 2);
  expect(tokenizer.encode("<x>")).toEqual([tinyText.vocab_size, tinyText.vocab_size + 1]);
  expect(grown.get(name)?.shape).toEqual([tinyText.vocab_size + 2, 8]);
  expect([...grown.get(name)!.data.slice(-16)]).toEqual([...vectors[0], ...vectors[1]]);
  expect(params.get(name)?.shape[0], "the encoder that was given").toBe(tinyText.vocab_size);
  expect(() => withInversions(tinyTokenizer, encoder, [{ token: "<x>", vectors: [new Float32Array(4)] }])).toThrow(
    "vectors of width 4, but the text encoder's is 8",
  );
  const other = { config: { ...tinyText, vocab_size: 7 }, params };
  expect(() => withInversions(tinyTokenizer, other, [])).toThrow("they do not belong together");
});
