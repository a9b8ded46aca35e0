// Who may import whom: reads every import line of src and names the edges that should not be.
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { expect, test } from "vitest";

const src = resolve(import.meta.dirname, "../src");

const trained = ["core", "graph", "clock", "condition", "draws", "pair", "model", "solve", "nn"];
const learning = [...trained, "couplings", "objectives", "optim"];
const running = [...learning, "solvers", "metrics", "data", "runtime", "recipes", "hash", "comm"];

/**
 * The layers, and what each may import besides itself. A file at the top of src is a layer of its own; random.ts and
 * version.ts belong to core.
 */
const may: Readonly<Record<string, readonly string[]>> = {
  core: [],
  graph: [],
  hash: [],
  comm: [],
  runtime: ["graph", "hash"],
  onnx: ["core", "graph", "data"],
  clock: ["graph"],
  condition: ["graph"],
  draws: ["core", "graph", "clock", "condition"],
  pair: ["core", "graph", "clock"],
  model: ["core", "graph", "clock", "condition", "pair"],
  solve: ["core", "graph", "clock", "condition", "pair", "model"],
  nn: ["core", "graph", "clock", "condition", "model", "onnx"],
  solvers: ["core"],
  optim: ["graph"],
  data: ["core", "hash"],
  couplings: ["core", "graph", "clock", "condition", "draws", "pair", "model", "solve"],
  objectives: ["core", "graph", "clock", "condition", "draws", "pair", "model", "nn", "couplings"],
  metrics: ["core", "graph", "pair", "model", "nn", "runtime", "data", "solvers", "hash"],
  diffusers: ["core", "graph", "condition", "pair", "model", "nn", "onnx", "runtime", "data", "solvers"],
  figures: ["core", "data"],
  recipes: learning,
  run: running,
  page: [...running, "diffusers", "onnx", "run"],
  node: [...running, "diffusers", "figures", "onnx", "run"],
};
/** Types that a layer may name although they lie above it: "from -> to". */
const typesOnly = new Set(["recipes -> run"]);
const top = ["cli", "index", "browser", "authors"];
const core = ["random", "version"];

interface Edge {
  readonly file: string;
  readonly target: string;
  readonly typeOnly: boolean;
}

const files = readdirSync(src, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ts"));
const edges: Edge[] = files.flatMap((file) => {
  const text = readFileSync(join(src, file), "utf8");
  const found = text.matchAll(
    /^\s*(?:import|export)\b(\s+type\b)?[^"'`;]*?\bfrom\s+"([^"]+)"|\bimport\(\s*"([^"]+)"|^import\s+"([^"]+)"/gm,
  );
  return [...found].map(([, type, a, b, c]) => ({ file, target: a ?? b ?? c, typeOnly: type !== undefined }));
});

const layerOf = (file: string): string => {
  const name = file.split(/[/\\]/)[0].replace(/\.ts$/, "");
  return core.includes(name) ? "core" : name;
};
const show = ({ file, target }: Edge) => `src/${file} imports ${target}`;

test("the import lines were found", () => {
  expect(files.length).toBeGreaterThan(80);
  expect(edges.length).toBeGreaterThan(300);
  expect([...new Set(files.map(layerOf))].filter((layer) => !(layer in may) && !top.includes(layer))).toEqual([]);
});

test("every layer imports only what lies below it", () => {
  const wrong = edges.filter(({ file, target, typeOnly }) => {
    if (!target.startsWith(".")) return false;
    const [from, to] = [layerOf(file), layerOf(relative(src, resolve(src, dirname(file), target)))];
    if (top.includes(from)) return from !== "cli" && to === "cli";
    // fewstep/node holds all that fewstep/browser does.
    if (file.replaceAll("\\", "/") === "node/index.ts" && to === "browser") return false;
    return from !== to && !may[from].includes(to) && !(typeOnly && typesOnly.has(`${from} -> ${to}`));
  });
  expect(wrong.map(show)).toEqual([]);
});

test("only cli, node and runtime/node.ts know Node, and only cli knows the command line", () => {
  const nodeOnly = /^node:|^sharp$|^onnxruntime-node$|^commander$|^linkedom$/;
  const knows = (file: string) =>
    ["cli", "node"].includes(layerOf(file)) || file.replaceAll("\\", "/") === "runtime/node.ts";
  const wrong = edges.filter(
    ({ file, target }) => nodeOnly.test(target) && !(target === "commander" ? layerOf(file) === "cli" : knows(file)),
  );
  expect(wrong.map(show)).toEqual([]);
  const touches = files.filter(
    (file) => !knows(file) && /\bprocess\.|\bBuffer\b/.test(readFileSync(join(src, file), "utf8")),
  );
  expect(touches, "Node's globals").toEqual([]);
});

test("onnxruntime-node is loaded in one place, behind the line that turns its telemetry off", () => {
  const loads = /(\bfrom |\bimport ?\(?|require\b.*\()"onnxruntime-node"/i;
  const found = files.flatMap((file) =>
    readFileSync(join(src, file), "utf8")
      .split("\n")
      .filter((line) => loads.test(line) && !/\btypeof import\(/.test(line))
      .map((line) => `${file.replaceAll("\\", "/")}: ${line.trim()}`),
  );
  expect(found).toEqual([expect.stringMatching(/^runtime\/node\.ts: loaded \?\?= createRequire\(/)]);
});

test("core, graph and solvers import no packages but the encoder, recipes none but that of their options", () => {
  const alone = ["clock", "condition", "draws", "pair", "model", "solve"];
  const wrong = edges.filter(
    ({ file, target }) =>
      ["core", "graph", "onnx", "solvers", "couplings", "objectives", "optim", "recipes", ...alone].includes(
        layerOf(file),
      ) &&
      !target.startsWith(".") &&
      !(["graph", "onnx"].includes(layerOf(file)) && (target === "onnx-buf" || target === "@bufbuild/protobuf")) &&
      !(layerOf(file) === "recipes" && target === "zod"),
  );
  expect(wrong.map(show)).toEqual([]);
});

test("zod is imported as a namespace: as { z } it comes whole into a page, with all its languages", () => {
  const wrong = files.filter((file) =>
    /^import (type )?\{ z \} from "zod"/m.test(readFileSync(join(src, file), "utf8")),
  );
  expect(wrong).toEqual([]);
});

test("relative imports carry their extension", () => {
  const wrong = edges.filter(({ target }) => target.startsWith(".") && !/\.(ts|json)$/.test(target));
  expect(wrong.map(show)).toEqual([]);
});

test("the browser's entry reaches nothing of Node", () => {
  const seen = new Set<string>();
  const visit = (file: string) => {
    if (seen.has(file)) return;
    seen.add(file);
    for (const edge of edges.filter((e) => e.file === file && e.target.startsWith(".")))
      visit(relative(src, resolve(src, dirname(file), edge.target)));
  };
  visit("browser.ts");
  visit("authors.ts");
  expect(seen.size).toBeGreaterThan(30);
  expect([...seen].filter((file) => ["cli", "node"].includes(layerOf(file)) || /node\.ts$/.test(file))).toEqual([]);
});
