// report.json of `fewstep compare` and `fewstep evaluate`, as far as the page shows it.

export interface ReportRow {
  readonly name: string;
  readonly role: string;
  readonly steps: number;
  readonly nfe: number;
  /** By metric: a number, or a mean with what it varies by. */
  readonly values: Readonly<Record<string, { readonly mean: number; readonly deviation: number | null }>>;
}

export interface Report {
  readonly title: string;
  readonly metrics: readonly string[];
  readonly rows: readonly ReportRow[];
  readonly notes: readonly string[];
}

const record = (value: unknown): Record<string, unknown> =>
  typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
const number = (value: unknown): number | undefined =>
  typeof value === "number" && Number.isFinite(value) ? value : undefined;

function measured(value: unknown): { mean: number; deviation: number | null } | undefined {
  const { mean, value: one, deviation, std } = record(value);
  const middle = number(mean) ?? number(one) ?? number(value);
  return middle === undefined ? undefined : { mean: middle, deviation: number(deviation) ?? number(std) ?? null };
}

function rowOf(value: unknown, more: { name?: unknown; role?: unknown } = {}): ReportRow | undefined {
  const row = record(value);
  const steps = number(row.steps);
  if (steps === undefined) return undefined;
  const values = Object.entries(record(row.values)).flatMap(([metric, v]) => {
    const read = measured(v);
    return read ? [[metric, read] as const] : [];
  });
  const name = String(row.name ?? more.name ?? "model");
  return {
    name,
    role: String(row.role ?? more.role ?? ""),
    steps,
    nfe: number(row.nfe) ?? steps,
    values: Object.fromEntries(values),
  };
}

/** Undefined for JSON that is no report. Throws an Error for one that was not written to its end. */
export function readReport(json: unknown): Report | undefined {
  const { kind, unfinished, rows, results, notes, plan, software } = record(json);
  if (unfinished === true)
    throw new Error("This report was not written to its end. Run the command that wrote it again.");
  const found =
    kind === "comparison"
      ? list(rows).map((row) => rowOf(row))
      : list(results).flatMap((result) =>
          list(record(result).evaluations).map((evaluation) =>
            rowOf(evaluation, { name: record(result).name ?? record(result).model, role: record(result).role }),
          ),
        );
  const good = found.filter((row) => row !== undefined);
  if (good.length === 0 || (software !== "fewstep" && kind === undefined && results === undefined)) return undefined;
  const metrics = [...new Set(good.flatMap(({ values }) => Object.keys(values)))];
  const title = record(plan).title ?? record(plan).name;
  return {
    title: typeof title === "string" ? title : kind === "comparison" ? "Comparison" : "Evaluation",
    metrics,
    rows: good,
    notes: list(notes).filter((note): note is string => typeof note === "string"),
  };
}
