// Points of the plane from files: CSV and NumPy's npy. Whatever their unit, they are moved to mean 0 and variance 1, as the
// networks expect.

export interface Points {
  /** [n, 2] */
  readonly values: Float32Array;
  /** Sentences that a user should read. */
  readonly notes: readonly string[];
}

export const FEWEST = 50;
export const MOST = 200_000;

/** Reads a file by its name. Throws an Error, a sentence, for one that holds no points. */
export function readPoints(name: string, bytes: Uint8Array): Points {
  const kind = name.toLowerCase().match(/\.(csv|tsv|txt|npy)$/)?.[1];
  if (kind === undefined)
    throw new Error(`${name} is neither .csv, .tsv, .txt nor .npy. Expected a table of two columns, x and y.`);
  const raw = kind === "npy" ? readNpy(name, bytes) : readCsv(name, new TextDecoder().decode(bytes));
  return standardized(name, raw);
}

/** Two columns of numbers, split by comma, semicolon, tab or spaces; a first line of names is skipped, as are "#" lines. */
export function readCsv(name: string, text: string): Float32Array {
  const out: number[] = [];
  const lines = text.replace(/^\uFEFF/, "").split(/\r\n|\n|\r/);
  let first = true;
  for (const [i, line] of lines.entries()) {
    if (line.trim() === "" || line.trimStart().startsWith("#")) continue;
    const cells = line.trim().split(/\s*[,;\t]\s*|\s+/);
    const numbers = cells.slice(0, 2).map((cell) => (cell === "" ? Number.NaN : Number(cell)));
    const isHead = first && numbers.some(Number.isNaN);
    first = false;
    if (isHead) continue;
    if (numbers.length < 2 || !numbers.every(Number.isFinite))
      throw new Error(`${name}, line ${i + 1}: "${line.slice(0, 40)}" does not begin with two numbers.`);
    out.push(numbers[0], numbers[1]);
    if (out.length > 2 * MOST) throw new Error(`${name} has more than ${MOST.toLocaleString("en-US")} points.`);
  }
  return Float32Array.from(out);
}

/** An array [n, 2] of float32, float64 or 32-bit integers in row-major order (format versions 1 to 3). */
export function readNpy(name: string, bytes: Uint8Array): Float32Array {
  const magic = String.fromCharCode(...bytes.subarray(0, 6));
  if (magic !== "\x93NUMPY" || bytes.length < 12)
    throw new Error(`${name} is no npy file: its first bytes are others.`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [at, length] = bytes[6] === 1 ? [10, view.getUint16(8, true)] : [12, view.getUint32(8, true)];
  const header = new TextDecoder().decode(bytes.subarray(at, at + length));
  const descr = header.match(/'descr':\s*'([^']*)'/)?.[1] ?? "?";
  const shape = (header.match(/'shape':\s*\(([^)]*)\)/)?.[1] ?? "").split(",").filter((s) => s.trim() !== "");
  const [n, columns] = shape.map(Number);
  if (shape.length !== 2 || columns !== 2 || /'fortran_order':\s*True/.test(header))
    throw new Error(`${name} has the shape (${shape.join(",")}), expected (n, 2) in C order.`);
  if (!(n <= MOST)) throw new Error(`${name} has ${n} points, more than ${MOST.toLocaleString("en-US")}.`);
  const reader = npyTypes[descr];
  if (!reader) throw new Error(`${name} holds "${descr}", expected one of ${Object.keys(npyTypes).join(", ")}.`);
  const start = at + length;
  if (bytes.length < start + 2 * n * reader.size)
    throw new Error(`${name} ends at byte ${bytes.length}, expected ${start + 2 * n * reader.size}.`);
  return Float32Array.from({ length: 2 * n }, (_, i) => reader.get(view, start + i * reader.size));
}

interface NpyType {
  readonly size: number;
  get(view: DataView, at: number): number;
}

const npyTypes: Readonly<Record<string, NpyType>> = {
  "<f4": { size: 4, get: (view, at) => view.getFloat32(at, true) },
  "<f8": { size: 8, get: (view, at) => view.getFloat64(at, true) },
  "<i4": { size: 4, get: (view, at) => view.getInt32(at, true) },
  "<i8": { size: 8, get: (view, at) => Number(view.getBigInt64(at, true)) },
};

/** The same points with mean 0 and, over both coordinates together, variance 1: shapes keep their proportions. */
export function standardized(name: string, raw: Float32Array): Points {
  const n = raw.length / 2;
  if (n < FEWEST) throw new Error(`${name} has ${n} points, expected at least ${FEWEST}.`);
  if (!raw.every(Number.isFinite)) throw new Error(`${name} holds a value that is no finite number.`);
  const mean = [0, 0];
  raw.forEach((value, i) => {
    mean[i % 2] += value / n;
  });
  const variance = raw.reduce((sum, value, i) => sum + (value - mean[i % 2]) ** 2, 0) / raw.length;
  if (!(variance > 0)) throw new Error(`All ${n} points of ${name} are the same.`);
  const scale = 1 / Math.sqrt(variance);
  const values = raw.map((value, i) => (value - mean[i % 2]) * scale);
  const moved = Math.hypot(...mean) > 1e-3 || Math.abs(scale - 1) > 1e-2;
  const said = `${name}: ${n.toLocaleString("en-US")} points${moved ? `, moved by (${mean.map((m) => (-m).toPrecision(3)).join(", ")}) and scaled by ${scale.toPrecision(3)}` : ""}.`;
  return { values, notes: [said] };
}

/**
 * Points around strokes drawn by hand (lists of points), `n` in all, evenly along their length. `noise` gives normal numbers.
 * Throws an Error where nothing was drawn.
 */
export function pointsAlong(
  strokes: readonly (readonly (readonly [number, number])[])[],
  {
    n,
    width,
    uniform,
    normal,
  }: {
    readonly n: number;
    readonly width: number;
    readonly uniform: ArrayLike<number>;
    readonly normal: ArrayLike<number>;
  },
): Float32Array {
  const segments = strokes.flatMap((stroke) =>
    stroke.length === 1
      ? [{ from: stroke[0], to: stroke[0], length: width }]
      : stroke.slice(1).map((to, i) => {
          const from = stroke[i];
          return { from, to, length: Math.hypot(to[0] - from[0], to[1] - from[1]) };
        }),
  );
  const total = segments.reduce((sum, { length }) => sum + length, 0);
  if (!(total > 0)) throw new Error("Nothing is drawn yet: draw a line or some dots.");
  const ends: number[] = [];
  segments.reduce((sum, { length }, i) => {
    ends[i] = sum + length;
    return ends[i];
  }, 0);
  const out = new Float32Array(2 * n);
  for (let i = 0; i < n; i++) {
    const at = uniform[i] * total;
    let k = 0;
    while (k < ends.length - 1 && ends[k] < at) k++;
    const { from, to, length } = segments[k];
    const q = length > 0 ? 1 - (ends[k] - at) / length : 0;
    for (const axis of [0, 1])
      out[2 * i + axis] = from[axis] + q * (to[axis] - from[axis]) + width * normal[2 * i + axis];
  }
  return out;
}
