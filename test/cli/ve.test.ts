// States of VE grow to sigma = 50: its networks see them over √(1 + sigma²), and the card says so.
import { join } from "node:path";
import { expect, test } from "vitest";
import { z } from "zod";
import { readJson } from "../../src/node/files.ts";
import { loadModel } from "../../src/node/models.ts";
import { fewstep, onlyRun, scratchOnce } from "./fewstep.ts";

const { at } = scratchOnce();
const reportSchema = z.object({
  results: z.array(
    z.object({
      evaluations: z.array(z.object({ values: z.object({ "sliced-wasserstein": z.object({ value: z.number() }) }) })),
    }),
  ),
});

test("a short training on VE makes samples of the data", async () => {
  const train = "--data toy:8gaussians@4096 --width 64 --depth 2 --batch 256 --images 76800 --lr 3e-3 --ema 0.98";
  const ended = await fewstep("train", "--form", "ve", ...train.split(" "), "--out", at("ve"));
  expect(ended.code, ended.err).toBe(0);
  const run = await onlyRun(at("ve"));
  const { card } = await loadModel(run);
  expect(card?.timeInput).toEqual({ scale: 1000, offset: 0, normalize: true });
  expect(card?.prediction.name).toBe("edm");
  const out = at("evaluation");
  const evaluate = "--data toy:8gaussians@4000 --steps 40 --path-steps 0 --n 1000 --batch 500";
  const measured = await fewstep("evaluate", run, ...evaluate.split(" "), "--out", out);
  expect(measured.code, measured.err).toBe(0);
  const { results } = reportSchema.parse(await readJson(join(out, "report.json")));
  // The data's standard deviation is 1; eps in place of edm ends at 2.4 after as many images, on vp at 5.3.
  expect(results[0].evaluations[0].values["sliced-wasserstein"].value).toBeLessThan(0.4);
}, 120_000);
