// Rectified Diffusion's own table in small: its order of methods beside ours.
import type { Result } from "./page.ts";

/** Wang et al. 2024, table 1: FID of COCO-2017, 512 pixels; and where our number is. */
const rows = [
  { name: "teacher", steps: 25, fid: 20.1, claim: "C1", ours: "teacher" },
  { name: "Rectified flow", steps: 1, fid: 47.91, claim: "C1", ours: "RF, naive start" },
  { name: "Rectified Diffusion", steps: 1, fid: 27.26, claim: "C1", ours: "RD" },
  { name: "Rectified flow, distilled (InstaFlow)", steps: 1, fid: 23.72, claim: "C5", ours: "InstaFlow" },
  { name: "Rectified Diffusion (CD)", steps: 1, fid: 22.83, claim: "C5", ours: "RD (CD)" },
  { name: "PeRFlow", steps: 4, fid: 22.97, claim: "C7", ours: "PeRFlow" },
  { name: "Rectified Diffusion (Phased)", steps: 4, fid: 20.64, claim: "C7", ours: "RD (Phased)" },
] as const;

export function rdTable(results: readonly Result[]): string {
  const found = rows.flatMap((row) => {
    const result = results.find(({ id }) => id === row.claim);
    const line = result?.numbers.table.lines.find(([name, steps]) => name === row.ours && steps === String(row.steps));
    return line ? [{ ...row, distance: line[3] }] : [];
  });
  if (found.length < rows.length) return "";
  const rank = (steps: number, value: number, all: readonly number[]) =>
    steps === 1 ? String([...all].sort((a, b) => a - b).indexOf(value) + 1) : "";
  const one = found.filter(({ steps }) => steps === 1);
  const theirs = one.map(({ fid }) => fid);
  const ours = one.map(({ distance }) => Number.parseFloat(distance));
  const lines = found.map(
    ({ name, steps, fid, distance }) =>
      `| ${name} | ${steps} | ${fid} | ${rank(steps, fid, theirs)} | ${distance} | ${rank(steps, Number.parseFloat(distance), ours)} |`,
  );
  return `## Rectified Diffusion's table in small

One teacher per seed, one budget. The paper's column is the FID of its table 1 (COCO 2017), ours the sliced Wasserstein distance; order
counts the four methods at one step.

| method | steps | paper: FID | order | here: distance | order |
|---|---|---|---|---|---|
${lines.join("\n")}
`;
}
