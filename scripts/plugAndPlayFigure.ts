// The picture of docs/delta-weights.md: a fine-tuned teacher with few steps, without and with another teacher's delta.
// npx tsx scripts/plugAndPlayFigure.ts <teacher> <teacher with the delta> <picture without its ending>
import { encodePng, sampleGrid } from "../src/data/png.ts";
import { sampleRows } from "../src/figures/sampleRows.ts";
import { fromConstants } from "../src/nn/params.ts";
import { saveFigure } from "../src/node/figures.ts";
import { loadModel } from "../src/node/models.ts";
import { sampleAll, sampler, samplingGrid } from "../src/run/sample.ts";
import { nodeRuntime } from "../src/runtime/node.ts";
import { solverByName } from "../src/solvers/index.ts";

const [teacher, plugged, path] = process.argv.slice(2);
if (!path) throw new Error("Usage: npx tsx scripts/plugAndPlayFigure.ts <teacher> <with the delta> <picture>");
const n = 10;
const rows = [];
for (const [who, folder, steps] of [
  ["fine-tuned teacher", teacher, 50],
  ["fine-tuned teacher", teacher, 4],
  ["with the delta", plugged, 4],
] as const) {
  const { model, params, sampler: how } = await loadModel(folder);
  const ready = await sampler(model, fromConstants(params), nodeRuntime({ threads: 1 }), n);
  const times = samplingGrid(model.form, how.grid, steps, model.prediction);
  const { x } = await sampleAll(ready, { n, seed: 1, solver: solverByName(how.solver), times });
  await ready.dispose();
  const image = sampleGrid(x, [1, 28, 28], { columns: n });
  rows.push({ label: `${who}, ${steps} steps`, png: encodePng(image), width: image.width, height: image.height });
}
const subtitle = "PeRFlow of one MNIST teacher, added to a teacher fine-tuned on thick digits; no training in between";
await saveFigure(path, sampleRows({ title: "From the same noise", subtitle, rows }));
