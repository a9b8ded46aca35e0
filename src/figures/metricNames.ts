// What charts and tables call metrics.
export interface MetricTitle {
  readonly long: string;
  /** For a column's head. */
  readonly short: string;
  readonly better: "lower" | "higher";
}

const titles: Readonly<Record<string, MetricTitle>> = {
  endpoint: { long: "Distance to the teacher's end", short: "endpoint", better: "lower" },
  frechet: { long: "Fréchet distance", short: "Fréchet", better: "lower" },
  kid: { long: "Kernel distance", short: "kernel", better: "lower" },
  "gaussian-mmd": { long: "Kernel distance", short: "kernel", better: "lower" },
  "sliced-wasserstein": { long: "Sliced Wasserstein distance", short: "sliced W", better: "lower" },
  precision: { long: "Precision", short: "precision", better: "higher" },
  recall: { long: "Recall", short: "recall", better: "higher" },
};

export const metricTitle = (name: string): MetricTitle => titles[name] ?? { long: name, short: name, better: "lower" };

/**
 * Names of runs as a legend can hold them: "00012-perflow-mnist-w4-b64" and "00013-reflow-mnist-b64" are perflow and reflow
 * where that tells them apart, else they stay. Longer ones lose their middle.
 */
export function shortNames(names: readonly string[], most = 32): string[] {
  const parts = names.map((name) => name.match(/^\d{5,}-(.+)$/)?.[1].split("-") ?? [name]);
  const common = parts[0]?.filter((part) => parts.length > 1 && parts.every((all) => all.includes(part))) ?? [];
  const stripped = parts.map((all) => all.filter((part) => !common.includes(part)).join("-"));
  const told = new Set(stripped).size === names.length && stripped.every((name) => name !== "") ? stripped : names;
  return told.map((name) =>
    name.length <= most ? name : `${name.slice(0, Math.ceil(most / 2) - 1)}…${name.slice(-Math.floor(most / 2))}`,
  );
}
