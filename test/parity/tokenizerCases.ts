// The tokenizer cases of a golden file.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { promptIds } from "../../src/diffusers/prompt.ts";
import { type ClipTokenizer, clipTokenizer } from "../../src/diffusers/tokenizer.ts";
import { readJson, vocabularyFolder } from "./folders.ts";

export interface TokenizerCases {
  readonly vocabulary?: string;
  readonly pad_token_id: number;
  readonly prompts: readonly {
    readonly prompt: string;
    readonly untruncated_length: number;
    readonly ids: readonly number[];
  }[];
}

/** The tokenizer of a model folder's component; vocabulary and merges may lie in another folder than its small files. */
export function tokenizerIn(folder: string, component: string, vocabulary?: string): ClipTokenizer {
  const words = vocabularyFolder(folder, vocabulary ?? component);
  const optional = (name: string): unknown => {
    const place = [join(folder, component), words].map((path) => join(path, name)).find((path) => existsSync(path));
    return place === undefined ? undefined : readJson(place);
  };
  return clipTokenizer({
    vocab: readJson(words, "vocab.json"),
    merges: readFileSync(join(words, "merges.txt"), "utf8"),
    config: optional("tokenizer_config.json"),
    specialTokens: optional("special_tokens_map.json"),
    name: join(folder, component),
  });
}

/** What differs, one line a prompt. */
export function tokenizerDifferences(tokenizer: ClipTokenizer, { prompts, pad_token_id }: TokenizerCases): string[] {
  const wrong = tokenizer.pad === pad_token_id ? [] : [`pads with ${tokenizer.pad}, expected ${pad_token_id}`];
  for (const { prompt, ids, untruncated_length } of prompts) {
    const {
      ids: [have],
      dropped,
    } = promptIds(tokenizer, prompt);
    const padded = [...ids, ...Array.from({ length: tokenizer.length - ids.length }, () => pad_token_id)];
    if (have.join() !== padded.join()) wrong.push(`${JSON.stringify(prompt)}: ${have} instead of ${padded}`);
    const length = tokenizer.encode(prompt).length + 2;
    if (length !== untruncated_length || dropped !== Math.max(0, length - tokenizer.length))
      wrong.push(`${JSON.stringify(prompt)}: ${length} tokens, ${dropped} dropped, instead of ${untruncated_length}`);
  }
  return wrong;
}
