// Which part of a dataset: folders and shards are often named train/ and test/, or train-00000.tar and test-00000.tar.

export type Split = "train" | "test";

const words: Record<Split, RegExp> = { train: /^train(ing)?$/i, test: /^(test(ing)?|t10k|val|valid(ation)?)$/i };
const splits: readonly Split[] = ["train", "test"];

/** The split that one of the words of a name says: "cifar10-train-00000.tar" is "train". */
export function splitOf(name: string): Split | undefined {
  const parts = name.split(/[-_.\s]/);
  return splits.find((split) => parts.some((part) => words[split].test(part)));
}

/**
 * Where every name starts with a folder that is called like a split, those of the wanted split, and that folder (with
 * its slash) as `root`; otherwise all of them and "". The list is empty where only the other split exists.
 */
export function chooseSplit(names: readonly string[], split: Split): { names: readonly string[]; root: string } {
  const tops = [...new Set(names.map((name) => name.slice(0, name.indexOf("/") + 1)))];
  const isSplit = (top: string, which: Split) => words[which].test(top.slice(0, -1));
  if (!tops.every((top) => splits.some((which) => isSplit(top, which)))) return { names, root: "" };
  const root = tops.find((top) => isSplit(top, split));
  return root ? { names: names.filter((name) => name.startsWith(root)), root } : { names: [], root: "" };
}
