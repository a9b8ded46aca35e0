// Data-parallel training at scale, from a step's time, the size of its message and published bandwidths: prints a table.
// npx tsx bench/scaling.ts

export interface Network {
  readonly name: string;
  /** Bytes per second of one host, and seconds of one message. */
  readonly bandwidth: number;
  readonly latency: number;
}

/** Line rates of the standards; latencies as their vendors state them, for TCP the usual round trip halved. */
export const networks: readonly Network[] = [
  { name: "10 GbE, TCP", bandwidth: 1.25e9, latency: 25e-6 },
  { name: "100 GbE, RoCE", bandwidth: 12.5e9, latency: 3e-6 },
  { name: "InfiniBand NDR", bandwidth: 50e9, latency: 1e-6 },
];

export interface Training {
  readonly name: string;
  readonly parameters: number;
  /** Seconds of gradients per image, and of an update, on one rank. */
  readonly perImage: number;
  readonly update: number;
  readonly batch: number;
}

/** A ring: every host sends and receives 2 (n - 1) / n of the message, in 2 (n - 1) steps; a tree where that is shorter. */
export function allreduceSeconds(bytes: number, ranks: number, { bandwidth, latency }: Network): number {
  if (ranks === 1) return 0;
  const ring = (2 * (ranks - 1) * bytes) / ranks / bandwidth + 2 * (ranks - 1) * latency;
  const tree = 2 * Math.ceil(Math.log2(ranks)) * (bytes / bandwidth + latency);
  return Math.min(ring, tree);
}

export interface How {
  /** The batch of all ranks stays, or that of each rank. */
  readonly fixed: "global" | "rank";
  /** Pieces of a rank's batch that are computed before one message. */
  readonly accumulate?: number;
  /** Messages go out during the backward pass (two thirds of the work); fewstep does not do that. */
  readonly overlap?: boolean;
}

/** Work done per second and rank, over that of one rank. */
export function efficiency(t: Training, ranks: number, network: Network, o: How): number {
  const images = (o.fixed === "global" ? t.batch / ranks : t.batch) * (o.accumulate ?? 1);
  const compute = images * t.perImage;
  const message = allreduceSeconds(4 * t.parameters, ranks, network);
  const shown = o.overlap ? Math.max(0, message - (2 / 3) * compute) : message;
  const one = (o.fixed === "global" ? t.batch * (o.accumulate ?? 1) : images) * t.perImage + t.update;
  const here = compute + t.update + shown;
  return o.fixed === "global" ? one / (ranks * here) : one / here;
}

export const ranksOf = [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];

export function table(t: Training, how: How): string {
  const rows = networks.map((network) => {
    const cells = ranksOf.map((n) =>
      how.fixed === "global" && n > t.batch ? "" : efficiency(t, n, network, how).toFixed(2),
    );
    return `| ${network.name} | ${cells.join(" | ")} |`;
  });
  return [`| | ${ranksOf.join(" | ")} |`, `|---|${ranksOf.map(() => "---:|").join("")}`, ...rows].join("\n");
}

/** Steps as docs/performance.md has them, on the two cores of its machine. */
const trainings: readonly Training[] = [
  { name: "demo's student, 0.69M, batch 64", parameters: 687_473, perImage: 0.3 / 64, update: 0, batch: 64 },
  // Only its forward pass was measured; gradients are taken as twice that on top.
  { name: "SD 1.5's UNet, 860M, one image a rank", parameters: 860e6, perImage: 3 * 4.642, update: 0, batch: 1 },
];

const print = (title: string, t: Training, how: How) => console.log(`\n${t.name}; ${title}\n\n${table(t, how)}`);
const [small, large] = trainings;
print("64 images in all", small, { fixed: "global" });
print("64 images a rank", small, { fixed: "rank" });
print("one image a step", large, { fixed: "rank" });
print("8 images added up", large, { fixed: "rank", accumulate: 8 });
print("one image a step, overlapped", large, { fixed: "rank", overlap: true });
