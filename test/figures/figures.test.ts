import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseHTML } from "linkedom";
import sharp from "sharp";
import { describe, expect, test } from "vitest";
import { toy } from "../../src/data/toy2d.ts";
import { alphaSigma } from "../../src/figures/alphaSigma.ts";
import { lossCurve, runningMean } from "../../src/figures/lossCurve.ts";
import { metricVsNfe } from "../../src/figures/metricVsNfe.ts";
import { pathVariation } from "../../src/figures/pathVariation.ts";
import { scatter2d, trajectories2d } from "../../src/figures/plane.ts";
import { logTicks, renderSheet } from "../../src/figures/sheet.ts";
import { figureContext, saveFigure, svgSignature, svgToPng } from "../../src/node/figures.ts";
import { key, normal } from "../../src/random.ts";

const context = figureContext();
const count = (svg: string, pattern: RegExp) => svg.match(pattern)?.length ?? 0;
const texts = (svg: string) => [...svg.matchAll(/<text[^>]*>([^<]+)<\/text>/g)].map((match) => match[1]);
/** The corners of each drawn line of a color, as [x, y] in pixels. */
const lines = (svg: string, color: string) => {
  const { document } = parseHTML(svg);
  const groups = [...document.querySelectorAll("g[aria-label=line]")];
  const paths = groups
    .filter((group) => group.outerHTML.includes(`stroke="${color}"`))
    .flatMap((group) => [...group.querySelectorAll("path")]);
  return paths.map((path) =>
    (path.getAttribute("d") ?? "")
      .slice(1)
      .split("L")
      .map((p) => p.split(",").map(Number)),
  );
};

describe("lossCurve", () => {
  const images = Array.from({ length: 200 }, (_, i) => 64 * i);
  const falling = images.map((_, i) => 0.1 * 0.98 ** i);

  test("draws each series pale and smoothed, with a legend for several", () => {
    const svg = lossCurve(
      {
        series: [
          { name: "PeRFlow", images, loss: falling },
          { name: "Reflow", images, loss: falling },
        ],
      },
      context,
    );
    expect(count(svg, /aria-label="line"/g)).toBe(4);
    expect(texts(svg)).toEqual(
      expect.arrayContaining(["Training loss", "PeRFlow", "Reflow", "images seen", "loss", "10k"]),
    );
    const [raw, smooth] = lines(svg, "#4269d0");
    expect(raw).toHaveLength(200);
    // An exponential decay is a straight line on a logarithmic axis; its running mean lies above (y grows downwards).
    const [[x0, y0], [x1, y1]] = [raw[0], raw[199]];
    expect(raw[100][1]).toBeCloseTo(y0 + ((y1 - y0) * (raw[100][0] - x0)) / (x1 - x0), 1);
    expect(smooth[100][1]).toBeLessThan(raw[100][1]);
  });

  test("a loss that is not finite is a gap, not the end of the mean", () => {
    const points = [1, 3, Number.NaN, 5, 7].map((y, x) => ({ x, y }));
    expect(runningMean(points, 2).map(({ y }) => y)).toEqual([1, 2, Number.NaN, 5, 6]);
  });

  test("long runs stay small", () => {
    const long = Array.from({ length: 100_000 }, (_, i) => i);
    const svg = lossCurve({ series: [{ name: "a", images: long, loss: long.map((i) => 1 / (1 + i)) }] }, context);
    expect(svg.length).toBeLessThan(150_000);
  });

  test("no values, or not one per position, are refused", () => {
    expect(() => lossCurve({ series: [{ name: "a", images: [], loss: [] }] }, context)).toThrow('"a" has 0 losses');
    expect(() => lossCurve({ series: [{ name: "a", images: [1], loss: [1, 2] }] }, context)).toThrow(
      '"a" has 2 losses for 1 positions',
    );
    expect(() => renderSheet({ title: "t", panels: [] }, context)).toThrow('"t" has no panels');
  });
});

describe("metricVsNfe", () => {
  const figure = {
    metric: "Fréchet <distance> & co",
    better: "lower",
    series: [
      { name: "teacher", role: "teacher", points: [1, 2, 4, 8].map((nfe) => ({ nfe, value: 5 / nfe ** 2 })) },
      { name: "student", points: [4, 1, 2].map((nfe) => ({ nfe, value: 1 / nfe })) },
    ],
  } as const;

  test("steps are evenly spaced powers of two, in order; the teacher is dashed and grey", () => {
    const svg = metricVsNfe(figure, context);
    expect(texts(svg)).toEqual(expect.arrayContaining(["teacher", "student", "1", "2", "4", "8", "0.1", "0.2", "0.5"]));
    expect(svg).toContain("Fréchet &lt;distance&gt; &amp; co (lower is better)");
    const [teacher] = lines(svg, "#71717a");
    const xs = teacher.map(([x]) => x);
    expect(xs[1] - xs[0]).toBeCloseTo(xs[2] - xs[1], 1);
    const [student] = lines(svg, "#4269d0");
    expect(student.map(([x]) => x)).toEqual(xs.slice(0, 3));
    expect(svg).toMatch(/stroke-dasharray="6 3"[^>]*aria-label="line"|aria-label="line"[^>]*stroke-dasharray="6 3"/);
  });

  test("is the same bytes every time", () => {
    expect(metricVsNfe(figure, context)).toBe(metricVsNfe(figure, figureContext()));
  });
});

test("logTicks: 1, 2, 5 per decade, inside the range", () => {
  expect(logTicks(0.003, 0.2)).toEqual([0.005, 0.01, 0.02, 0.05, 0.1, 0.2]);
  expect(logTicks(1, 10)).toEqual([1, 2, 5, 10]);
});

describe("pictures of the plane", () => {
  const data = toy("8gaussians", key(1), 500);
  const eps = normal(key(2), 200);
  const times = [1, 0.75, 0.5, 0.25, 0];
  const states = times.map((t) => Float32Array.from(eps, (z, i) => t * z + (1 - t) * data[i]));

  test("one path per point, rings at the inner edges only", () => {
    const panels = [
      { title: "teacher", times, states },
      { title: "PeRFlow", times, states, edges: [1, 0.5, 0] },
    ];
    const svg = trajectories2d({ data, panels, paths: 30 }, context);
    const drawn = lines(svg, "#4269d0");
    expect(drawn).toHaveLength(60);
    for (const path of drawn) expect(path).toHaveLength(times.length);
    // Straight paths: the middle state lies half way.
    const [start, , middle, , end] = drawn[0];
    expect(middle[0]).toBeCloseTo((start[0] + end[0]) / 2, 1);
    expect(count(svg, /<circle[^>]*r="1.8"/g)).toBe(30);
    expect(texts(svg)).toEqual(expect.arrayContaining(["teacher", "PeRFlow", "window edge", "noise", "sample"]));
    expect(trajectories2d({ data, panels: panels.slice(0, 1) }, context)).not.toContain("window edge");
  });

  test("samples far outside neither shrink nor leave the picture", () => {
    const samples = new Float32Array([0, 0, 1000, 0, Number.NaN, 0, 1, 1]);
    const svg = scatter2d({ data, panels: [{ title: "four steps", points: samples }] }, context);
    const dots = svg.match(/<path[^>]*d="([^"]*)"[^>]*stroke="#4269d0"|<path[^>]*stroke="#4269d0"[^>]*d="([^"]*)"/g);
    expect(count(dots?.find((path) => path.includes("h0")) ?? "", /h0/g)).toBe(2);
    expect(svg).not.toContain("NaN");
  });

  test("paths, windows and the variation of the prediction stand side by side", () => {
    const curve = (offset: number) => [1, 0.75, 0.5, 0.25].map((t) => ({ t, value: 0.1 * t + offset }));
    const series = [
      { title: "teacher", role: "teacher", times, states, variation: curve(0.2) },
      {
        title: "PeRFlow",
        times,
        states,
        edges: [1, 0.5],
        variation: curve(0.1),
        within: [
          curve(0).slice(0, 2),
          [
            { t: 0.5, value: 0 },
            { t: 0.25, value: 1e-9 },
          ],
        ],
      },
    ] as const;
    const svg = pathVariation({ series }, context);
    expect(texts(svg)).toEqual(
      expect.arrayContaining([
        "teacher",
        "PeRFlow",
        "variation of the prediction",
        "window edge",
        "within its windows",
      ]),
    );
    expect(texts(svg)).not.toContain("data");
    // One solid curve per model, one dashed per window; time falls from left to right, and zero stays in the picture.
    expect(lines(svg, "#71717a")).toHaveLength(1);
    const [whole, ...within] = lines(svg, "#3ca951");
    expect(whole).toHaveLength(4);
    expect(within).toHaveLength(2);
    expect(within[1][0][0]).toBeGreaterThan(within[0][0][0]);
    expect(within[1].flat().every(Number.isFinite)).toBe(true);
    expect(() => pathVariation({ series: [{ ...series[0], states: [eps] }] }, context)).toThrow("1 states for 5 times");
  });

  test("states that do not fit are refused", () => {
    const panel = { title: "p", times: [1, 0], states: [eps] };
    expect(() => trajectories2d({ data, panels: [panel] }, context)).toThrow('"p" has 1 states for 2 times');
    expect(() => scatter2d({ panels: [{ title: "p", points: [1, 2, 3] }] }, context)).toThrow('"p" has 3 numbers');
  });
});

test("alphaSigma: the form's curves and the chord's corners at the edges", () => {
  const times = Array.from({ length: 21 }, (_, i) => i / 20);
  const form = {
    name: "trig",
    times,
    alpha: times.map((t) => Math.cos(t * 1.5)),
    sigma: times.map((t) => Math.sin(t * 1.5)),
  };
  const svg = alphaSigma({ form, chord: { ...form, name: "chord" }, edges: [1, 0.5, 0] }, context);
  expect(count(svg, /<circle[^>]*r="3.5"/g)).toBe(3);
  expect(texts(svg)).toEqual(
    expect.arrayContaining(["alpha, trig", "sigma, trig", "chord", "t (0 is data, 1 is noise)"]),
  );
  expect(() => alphaSigma({ form: { ...form, alpha: [1] } }, context)).toThrow('"trig" has 1 alphas and 21 sigmas');
});

test("figures are saved as SVG and as PNG of twice the size, not blank", async () => {
  const folder = await mkdtemp(join(tmpdir(), "fewstep-figures-"));
  const svg = scatter2d({ panels: [{ title: "moons", points: toy("moons", key(1), 400) }] }, context);
  await saveFigure(join(folder, "moons"), svg);
  expect((await readdir(folder)).sort()).toEqual(["moons.png", "moons.svg"]);
  expect(await readFile(join(folder, "moons.svg"), "utf8")).toBe(`${svg}\n${svgSignature}\n`);
  const { data, info } = await sharp(await svgToPng(svg))
    .removeAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  expect(info.width).toBe(2 * Number(svg.match(/width="(\d+)"/)?.[1]));
  let blue = 0;
  for (let i = 0; i < data.length; i += 3) if (data[i + 2] - data[i] > 80) blue++;
  // 400 dots of about 28 pixels each, some of them overlapping.
  expect(blue).toBeGreaterThan(5000);
  await rm(folder, { recursive: true });
});
