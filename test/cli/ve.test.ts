// States of VE grow to sigma = 50: its networks see them over √(1 + sigma²), and the card says so.
import { join } from "node:path";
import { expect, test } from "vitest";
import { z } from "zod";
import { readJson } from "../../src/cli/files.ts";
import { loadModel } from "../../src/cli/models.ts";
import { fewstep, onlyRun, scratchOnce } from "./fewstep.ts";

const { at } = scratchOnce();
const reportSchema = z.object({
  results: z.array(
    z.object({
      evaluations: z.array(z.object({ values: z.object({ "sliced-wasserstein": z.object({ value: z.number() }) }) })),
    }),
  ),
});

async function trained(form: string): Promise<{ distance: number; normalize?: boolean }> {
  const train = "--data toy:8gaussians@4096 --width 64 --depth 2 --batch 256 --images 76800 --lr 3e-3 --ema 0.98";
  const ended = await fewstep("train", "--form", form, ...train.split(" "), "--out", at(form));
  expect(ended.code, ended.err).toBe(0);
  const run = await onlyRun(at(form));
  const out = at(`${form}-evaluation`);
  const evaluate = "--data toy:8gaussians@4000 --steps 40 --path-steps 0 --n 1000 --batch 500";
  const measured = await fewstep("evaluate", run, ...evaluate.split(" "), "--out", out);
  expect(measured.code, measured.err).toBe(0);
  const { results } = reportSchema.parse(await readJson(join(out, "report.json")));
  const { card } = await loadModel(run);
  return { distance: results[0].evaluations[0].values["sliced-wasserstein"].value, ...card?.timeInput };
}

test("a short training on VE samples as well as one on VP", async () => {
  const [ve, vp] = [await trained("ve"), await trained("vp")];
  console.log(`sliced Wasserstein, 40 steps: ve ${ve.distance.toPrecision(3)}, vp ${vp.distance.toPrecision(3)}`);
  expect(ve.normalize).toBe(true);
  expect(vp.normalize).toBeUndefined();
  expect(ve.distance).toBeLessThan(2 * vp.distance + 0.2);
}, 300_000);
