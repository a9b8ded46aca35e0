import { expect, it } from "vitest";
import { pointsAlong, readCsv, readNpy, readPoints, standardized } from "../../studio/src/lib/pointsFile.ts";
import { csvOf } from "../../studio/src/lib/save.ts";

const text = (s: string) => new TextEncoder().encode(s);
const circle = Array.from({ length: 60 }, (_, i) => [
  10 + 3 * Math.cos((i / 60) * 2 * Math.PI),
  5 + 3 * Math.sin((i / 60) * 2 * Math.PI),
]);

it.each([
  ["commas and a head", "x,y\n1,2\n-3.5,4e-1\n"],
  ["semicolons, a comment and Windows' lines", "# points\r\n1;2\r\n\r\n-3.5;0.4\r\n"],
  ["tabs, spaces around, more columns", " 1\t2\tred\n-3.5 \t 0.4\tblue"],
  ["a byte order mark", "\uFEFFx y\n1 2\n-3.5 0.4"],
])("reads CSV with %s", (_, csv) => {
  expect([...readCsv("p.csv", csv)]).toEqual([1, 2, Math.fround(-3.5), Math.fround(0.4)]);
});

it("names the line that is no point", () => {
  expect(() => readCsv("p.csv", "x,y\n1,2\n3\n")).toThrow('p.csv, line 3: "3" does not begin with two numbers.');
  expect(() => readCsv("p.csv", "1,2\n3,NaN\n")).toThrow("line 2");
  expect(() => readCsv("p.csv", "1,2\n3,\n")).toThrow("line 2");
});

function npy(descr: string, shape: string, values: Uint8Array, order = "False"): Uint8Array {
  const fields = `{'descr': '${descr}', 'fortran_order': ${order}, 'shape': ${shape}, }`;
  const header = `${fields.padEnd(117)}\n`;
  const head = [0x93, ...text("NUMPY"), 1, 0, header.length & 255, header.length >> 8];
  return Uint8Array.from([...head, ...text(header), ...values]);
}

it("reads npy of floats and integers", () => {
  const doubles = new Uint8Array(Float64Array.of(1, 2, 3, -4).buffer);
  expect([...readNpy("a.npy", npy("<f8", "(2, 2)", doubles))]).toEqual([1, 2, 3, -4]);
  const singles = new Uint8Array(Float32Array.of(0.5, -1).buffer);
  expect([...readNpy("a.npy", npy("<f4", "(1, 2)", singles))]).toEqual([0.5, -1]);
  const long = new Uint8Array(BigInt64Array.of(7n, -8n).buffer);
  expect([...readNpy("a.npy", npy("<i8", "(1, 2)", long))]).toEqual([7, -8]);
});

it("refuses other npy files in a sentence", () => {
  const one = new Uint8Array(Float64Array.of(1, 2).buffer);
  expect(() => readNpy("a.npy", npy("<f8", "(1, 3)", one))).toThrow("has the shape (1, 3), expected (n, 2)");
  expect(() => readNpy("a.npy", npy("<f8", "(1, 2)", one, "True"))).toThrow("C order");
  expect(() => readNpy("a.npy", npy("|b1", "(1, 2)", one))).toThrow('holds "|b1"');
  expect(() => readNpy("a.npy", npy("<f8", "(2, 2)", one))).toThrow("ends at byte");
  expect(() => readNpy("a.npy", text("no npy at all"))).toThrow("is no npy file");
});

it("moves points to mean 0 and variance 1, keeping their proportions, and says so", () => {
  const { values, notes } = readPoints("c.csv", text(circle.map((p) => p.join()).join("\n")));
  const n = values.length / 2;
  const mean = [0, 1].map((k) => circle.reduce((sum, _, i) => sum + values[2 * i + k], 0) / n);
  expect(Math.hypot(...mean)).toBeLessThan(1e-6);
  expect(values.reduce((sum, v) => sum + v * v, 0) / values.length).toBeCloseTo(1, 5);
  // A circle stays one.
  for (let i = 0; i < n; i++) expect(Math.hypot(values[2 * i], values[2 * i + 1])).toBeCloseTo(Math.SQRT2, 5);
  expect(notes[0]).toContain("moved by (-10.0, -5.00)");
});

it("refuses too few points, all the same, and other names", () => {
  expect(() => readPoints("a.csv", text("1,2\n3,4\n"))).toThrow("a.csv has 2 points, expected at least 50.");
  expect(() => standardized("a.csv", new Float32Array(200))).toThrow("All 100 points of a.csv are the same.");
  expect(() => readPoints("a.xlsx", text(""))).toThrow("a.xlsx is neither .csv");
});

it("spreads points evenly along strokes", () => {
  const n = 3000;
  const uniform = Float64Array.from({ length: n }, (_, i) => (i + 0.5) / n);
  const still = new Float64Array(2 * n);
  const strokes = [
    [
      [0, 0],
      [3, 0],
    ],
    [
      [0, 2],
      [0, 1],
    ],
  ] as const;
  const points = pointsAlong(strokes, { n, width: 0, uniform, normal: still });
  const first = Array.from({ length: n }, (_, i) => i).filter((i) => Math.abs(points[2 * i + 1]) < 1e-9);
  expect(first.length / n).toBeCloseTo(0.75, 2);
  const mean = first.reduce((sum, i) => sum + points[2 * i], 0) / first.length;
  expect(mean).toBeCloseTo(1.5, 2);
  expect(() => pointsAlong([], { n, width: 0, uniform, normal: still })).toThrow("Nothing is drawn yet");
});

it("writes CSV that it reads again", () => {
  const values = Float32Array.of(0.1, -2, 3e-7, 4);
  expect([...readCsv("p.csv", csvOf(values))]).toEqual([...values]);
});
