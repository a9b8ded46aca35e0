// What is told while pictures are made.
import { gridPng } from "../../data/png.ts";
import type { GenerateEvent, Pipeline } from "../../diffusers/pipeline.ts";
import type { Image } from "../../diffusers/tiles.ts";
import { writeAtomic } from "../atomic.ts";
import type { Context } from "../context.ts";
import type { GenerateOptionsGiven } from "./options.ts";

/** Tells the progress, and writes the preview. */
export function follower(
  { preview, n }: GenerateOptionsGiven,
  running: Pipeline,
  line: ReturnType<Context["report"]["progress"]>,
  total: number,
  { report }: Context,
) {
  let work: Promise<void> = Promise.resolve();
  let busy = false;
  const show = async (file: string, latents: Image): Promise<void> => {
    const { shape, data } = await running.preview(latents);
    const [, , height, width] = shape;
    const upscale = Math.max(1, Math.round(256 / Math.max(height, width)));
    await writeAtomic(file, gridPng(data, [3, height, width], { upscale }));
    report.event({ kind: "preview", file });
  };
  return {
    told(event: GenerateEvent, at: number, count: number): void {
      if (event.stage === "decode") report.event({ kind: "decode", from: at, count });
      if (event.stage !== "step") return;
      const { done, of } = event;
      line.update({
        done: done * count + at * of,
        total: total * of,
        unit: n > 1 ? "evaluations of all" : "evaluations",
      });
      report.event({ kind: "step", from: at, count, done, of, timestep: event.timestep });
      if (preview === undefined || busy) return;
      busy = true;
      work = show(preview, event.estimate).finally(() => {
        busy = false;
      });
      // What fails is said when it is awaited.
      work.catch(() => {});
    },
    settled: () => work,
  };
}
