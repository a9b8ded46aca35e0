// Pictures during a run: teacher and student from the same noise, with a few numbers of steps.
import { join } from "node:path";
import type { Dataset } from "../data/dataset.ts";
import { gridPng } from "../data/png.ts";
import { scatter2d } from "../figures/plane.ts";
import { fromConstants, type ParamSpec, unflatten } from "../nn/params.ts";
import type { NetModel, Teacher } from "../recipes/plan.ts";
import type { SamplerSpec } from "../run/card.ts";
import { sampleAll, sampler, samplingGrid } from "../run/sample.ts";
import type { Runtime } from "../runtime/index.ts";
import { solverByName } from "../solvers/index.ts";
import { writeAtomic } from "./atomic.ts";
import { figureContext, saveFigure } from "./figures.ts";

export interface Row {
  readonly name: string;
  readonly sampler: SamplerSpec;
  readonly steps: number;
  readonly guidance: number;
}

export interface PreviewOptions {
  readonly folder: string;
  readonly seed: number;
  readonly runtime: Runtime;
  readonly teacher?: Teacher & { readonly rows: readonly Row[] };
  readonly student: { readonly model: NetModel; readonly spec: readonly ParamSpec[]; readonly rows: readonly Row[] };
  /** Points of the plane are shown over these. */
  readonly data?: Dataset;
}

/** Writes the picture of these weights and returns its path; undefined for data that cannot be shown. */
export type Preview = (theta: Float32Array, images: number) => Promise<string | undefined>;

/** Samples in a row: one of every class, or eight; in the plane as many as show a density. */
export function previews(o: PreviewOptions): Preview {
  const shape = imageShape(o.student.model.sampleShape);
  const plane = o.student.model.sampleShape[0] === 2 && o.student.model.sampleShape.slice(1).every((n) => n === 1);
  const n = plane ? 500 : Math.min(10, Math.max(8, (o.student.model.labelCount ?? 1) - 1));
  const sampleRows = async ({ model, params }: Teacher, rows: readonly Row[]) => {
    const out: { name: string; x: Float32Array }[] = [];
    for (const row of rows) {
      const ready = await sampler(model, params, o.runtime, n, { guidance: row.guidance });
      const times = samplingGrid(model.form, row.sampler.grid, row.steps, model.prediction);
      const solver = solverByName(row.sampler.solver);
      try {
        const { x } = await sampleAll(ready, { n, seed: o.seed, solver, times, stream: "preview" });
        out.push({ name: row.name, x });
      } finally {
        await ready.dispose();
      }
    }
    return out;
  };
  let teacherRows: { name: string; x: Float32Array }[] | undefined;
  return async (theta, images) => {
    if (!shape && !plane) return undefined;
    teacherRows ??= o.teacher ? await sampleRows(o.teacher, o.teacher.rows) : [];
    const params = fromConstants(unflatten(o.student.spec, theta));
    const rows = [...teacherRows, ...(await sampleRows({ model: o.student.model, params }, o.student.rows))];
    const file = join(o.folder, String(images).padStart(9, "0"));
    if (shape) {
      const all = new Float32Array(rows.length * rows[0].x.length);
      rows.forEach(({ x }, i) => {
        all.set(x, i * x.length);
      });
      await writeAtomic(`${file}.png`, gridPng(all, shape, { columns: n }));
      return `${file}.png`;
    }
    const data = o.data?.batch(Uint32Array.from({ length: Math.min(1500, o.data.size) }, (_, i) => i)).x;
    const panels = rows.map(({ name, x }) => ({ title: name, points: x }));
    await saveFigure(
      file,
      scatter2d({ title: `After ${images.toLocaleString("en-US")} images`, data, panels }, figureContext()),
    );
    return `${file}.png`;
  };
}

function imageShape(shape: readonly number[]): readonly [number, number, number] | undefined {
  const [channels, height, width] = shape;
  return shape.length === 3 && height > 1 && (channels === 1 || channels === 3) ? [channels, height, width] : undefined;
}
