// Pictures during a run as files: teacher and student from the same noise, labeled.
import { join } from "node:path";
import type { Dataset } from "../data/dataset.ts";
import { encodePng, sampleGrid } from "../data/png.ts";
import { scatter2d } from "../figures/plane.ts";
import { sampleRows } from "../figures/sampleRows.ts";
import type { Stage, Teacher } from "../recipes/recipe.ts";
import { type PreviewRow, previewRows, type Shown, shownSamples, studentOf } from "../run/preview.ts";
import type { SampleOptions } from "../run/sample.ts";
import type { Runtime } from "../runtime/index.ts";
import { figureContext, saveFigure } from "./figures.ts";

export interface PreviewOptions {
  readonly folder: string;
  readonly seed: number;
  readonly runtime: Runtime;
  readonly teacher?: Teacher & { readonly rows: readonly PreviewRow[] };
  /** The student's rows. */
  readonly rows: (stage: Stage) => readonly PreviewRow[];
  /** Points of the plane are shown over these. */
  readonly data?: Dataset;
  /** Of models whose samples are latents. */
  readonly latents?: ShownLatents;
}

export interface ShownLatents {
  /** Samples, each with conditions of its own. */
  readonly n: number;
  readonly cond: SampleOptions["cond"];
  /** [n, C, h, w] as pictures [n, ...shape]. */
  decode(x: Float32Array): Promise<{ readonly x: Float32Array; readonly shape: readonly number[] }>;
}

/** Writes the picture of these weights and returns its path; undefined for data that cannot be shown. */
export type Preview = (stage: Stage, theta: Float32Array, images: number) => Promise<string | undefined>;

export function previews(o: PreviewOptions): Preview {
  let teacherRows: readonly Shown[] | undefined;
  return async (stage, theta, images) => {
    const { model } = stage;
    const shape = o.latents ? undefined : imageShape(model.sampleShape);
    const plane = model.sampleShape[0] === 2 && model.sampleShape.slice(1).every((n) => n === 1);
    if (!shape && !plane && !o.latents) return undefined;
    const options = {
      n: o.latents?.n ?? shownSamples(model),
      seed: o.seed,
      runtime: o.runtime,
      cond: o.latents?.cond,
    };
    teacherRows ??= o.teacher ? await previewRows(o.teacher, o.teacher.rows, options) : [];
    const student = studentOf(model, stage.players[0].spec, theta);
    const rows = [...teacherRows, ...(await previewRows(student, o.rows(stage), options))];
    const file = join(o.folder, String(images).padStart(9, "0"));
    const title = `After ${images.toLocaleString("en-US")} images`;
    if (shape || o.latents) {
      const pictures = [];
      for (const { name, x } of rows) {
        const decoded = o.latents ? await o.latents.decode(x) : { x, shape: model.sampleShape };
        const [channels, height, width] = decoded.shape;
        const image = sampleGrid(decoded.x, [channels, height, width], { columns: options.n });
        pictures.push({ label: name, png: encodePng(image), width: image.width, height: image.height });
      }
      await saveFigure(file, sampleRows({ title, rows: pictures }));
      return `${file}.png`;
    }
    const data = o.data?.batch(Uint32Array.from({ length: Math.min(1500, o.data.size) }, (_, i) => i)).x;
    const panels = rows.map(({ name, x }) => ({ title: name, points: x }));
    await saveFigure(file, scatter2d({ title, data, panels }, figureContext()));
    return `${file}.png`;
  };
}

function imageShape(shape: readonly number[]): readonly [number, number, number] | undefined {
  const [channels, height, width] = shape;
  return shape.length === 3 && height > 1 && (channels === 1 || channels === 3) ? [channels, height, width] : undefined;
}
