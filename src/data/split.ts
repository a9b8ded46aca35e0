// Which part of a dataset: folders and shards are often named train/ and test/, or train-00000.tar and test-00000.tar.

export type Split = "train" | "test";

/** In order of preference: where there are test and validation parts, "test" means the first. */
const words: Readonly<Record<Split, readonly RegExp[]>> = {
  train: [/^train(ing)?$/i],
  test: [/^(test(ing)?|t10k)$/i, /^(val|valid(ation)?)$/i],
};
const splits: readonly Split[] = ["train", "test"];
/** Parts that neither training nor testing is meant for. */
const other = /^(extra|unlabell?ed|unsup(ervised)?|dev|holdout|eval(uation)?)$/i;

/** The split that a single word names. */
export const splitNamed = (word: string): Split | undefined =>
  splits.find((split) => words[split].some((pattern) => pattern.test(word)));

/** Whether a folder of that name is one of several parts, if the folders beside it are. */
export const isPartName = (word: string): boolean => splitNamed(word) !== undefined || other.test(word);

const wordsOf = (name: string) => name.split(/[-_.\s]/);

/** The split that one of the words of a name says, its last folders first: "cifar10-train-00000.tar" is "train". */
export function splitOf(name: string): Split | undefined {
  for (const part of name.split("/").reverse()) {
    const found = wordsOf(part).flatMap((word) => splitNamed(word) ?? []);
    if (found.length > 0) return found.includes("train") ? "train" : "test";
  }
  return undefined;
}

/** Of names that each are or hold a word for a part, those for `split` that fit best; several where they fit as well. */
export function forSplit(names: readonly string[], split: Split): readonly string[] {
  const own = names.filter((name) => splitOf(name) === split);
  for (const pattern of words[split]) {
    const fitting = own.filter((name) =>
      name.split("/").some((part) => wordsOf(part).some((word) => pattern.test(word))),
    );
    if (fitting.length > 0) return fitting;
  }
  return own;
}
