// docs/api.md: every export with its docstring and its type, from the declarations that the build writes.
// `npm run docs:api` writes it; test/package.test.ts compares.
import { readFile, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { type ParseResult, parse } from "@babel/parser";
import { pack, root } from "./package.ts";

export interface Exported {
  readonly name: string;
  readonly kind: "function" | "const" | "type" | "interface" | "class" | "other";
  /** Without the stars of the comment; "" where there is none. */
  readonly doc: string;
  readonly code: string;
  /** Of the declaration, "src/core/row.ts". */
  readonly file: string;
}

interface Parsed {
  /** Declared here, by their names here. */
  readonly declared: ReadonlyMap<string, Omit<Exported, "name">>;
  /** Of other modules: by the name that is exported. */
  readonly passed: ReadonlyMap<string, { readonly from: string; readonly name: string }>;
  readonly stars: readonly string[];
  readonly exported: ReadonlyMap<string, string>;
}

type Node = ParseResult["program"]["body"][number];

/** All exports of an entry point, in order of their names. `folder`: of the declarations, "dist". */
export async function exportsOf(folder: string, entry: string): Promise<readonly Exported[]> {
  const cache = new Map<string, Promise<Parsed>>();
  const read = (file: string) => {
    const found = cache.get(file) ?? parsed(folder, file);
    cache.set(file, found);
    return found;
  };
  const names = async (file: string): Promise<Map<string, { file: string; name: string }>> => {
    const { exported, passed, stars } = await read(file);
    const all = new Map<string, { file: string; name: string }>();
    for (const star of stars) for (const [name, place] of await names(beside(file, star))) all.set(name, place);
    for (const [name, local] of exported) all.set(name, { file, name: local });
    for (const [name, { from, name: theirs }] of passed)
      if (from.startsWith("."))
        all.set(name, (await names(beside(file, from))).get(theirs) ?? { file: from, name: theirs });
      else all.set(name, { file: from, name: theirs });
    return all;
  };
  const found: Exported[] = [];
  for (const [name, place] of await names(join(folder, entry))) {
    const outside = !place.file.endsWith(".d.ts");
    const declaration = outside
      ? { kind: "other" as const, doc: `That of the package ${place.file}.`, code: "", file: place.file }
      : (await read(place.file)).declared.get(place.name);
    if (!declaration) throw new Error(`${name} of ${entry} is not declared in ${place.file}.`);
    found.push({ name, ...declaration });
  }
  return found.sort((a, b) => (a.name.toLowerCase() < b.name.toLowerCase() ? -1 : 1));
}

const beside = (file: string, target: string): string => resolve(dirname(file), target.replace(/\.[jt]s$/, ".d.ts"));

async function parsed(folder: string, file: string): Promise<Parsed> {
  const text = await readFile(file, "utf8");
  const { body } = parse(text, { sourceType: "module", plugins: [["typescript", { dts: true }]] }).program;
  const declared = new Map<string, Omit<Exported, "name">>();
  const passed = new Map<string, { from: string; name: string }>();
  const exported = new Map<string, string>();
  const stars: string[] = [];
  const imported = new Map<string, { from: string; name: string }>();
  const source = `src/${file
    .slice(folder.length + 1)
    .replace(/\.d\.ts$/, ".ts")
    .replaceAll("\\", "/")}`;
  const declare = (node: Node, outer: Node, out: boolean) => {
    for (const [name, kind] of declaredBy(node)) {
      const before = declared.get(name);
      const code = text.slice(node.start ?? 0, node.end ?? 0).replace(/^(export )?(declare )?/, "");
      // Overloads stand together; the first one says what they do.
      declared.set(name, {
        kind,
        doc: before?.doc || docOf(outer),
        code: before ? `${before.code}\n${code}` : code,
        file: source,
      });
      if (out) exported.set(name, name);
    }
  };
  for (const node of body) {
    if (node.type === "ExportAllDeclaration") stars.push(node.source.value);
    else if (node.type === "ImportDeclaration")
      for (const one of node.specifiers) {
        const name = one.type === "ImportSpecifier" ? nameOf(one.imported) : "default";
        imported.set(one.local.name, { from: node.source.value, name });
      }
    else if (node.type === "ExportNamedDeclaration" && node.declaration) declare(node.declaration as Node, node, true);
    else if (node.type === "ExportNamedDeclaration")
      for (const one of node.specifiers) {
        const name = nameOf(one.exported);
        const local = one.type === "ExportSpecifier" ? one.local.name : name;
        if (node.source) passed.set(name, { from: node.source.value, name: local });
        else exported.set(name, local);
      }
    else declare(node, node, false);
  }
  for (const [name, local] of exported) {
    const from = declared.has(local) ? undefined : imported.get(local);
    if (!from) continue;
    exported.delete(name);
    passed.set(name, from);
  }
  return { declared, passed, stars, exported };
}

const nameOf = (node: { readonly type: string; readonly name?: string; readonly value?: string }): string =>
  String(node.name ?? node.value);

function* declaredBy(node: Node): Generator<[name: string, kind: Exported["kind"]]> {
  switch (node.type) {
    case "TSDeclareFunction":
    case "FunctionDeclaration":
      if (node.id) yield [node.id.name, "function"];
      break;
    case "VariableDeclaration":
      for (const { id } of node.declarations)
        if (id.type === "Identifier") {
          const type = id.typeAnnotation?.type === "TSTypeAnnotation" ? id.typeAnnotation.typeAnnotation.type : "";
          yield [id.name, type === "TSFunctionType" ? "function" : "const"];
        }
      break;
    case "TSInterfaceDeclaration":
      yield [node.id.name, "interface"];
      break;
    case "TSTypeAliasDeclaration":
      yield [node.id.name, "type"];
      break;
    case "ClassDeclaration":
      if (node.id) yield [node.id.name, "class"];
      break;
  }
}

/** The comment right before a declaration. */
function docOf({ leadingComments }: Node): string {
  const comment = leadingComments?.at(-1);
  if (comment?.type !== "CommentBlock" || !comment.value.startsWith("*")) return "";
  return comment.value
    .replace(/^\*/, "")
    .replace(/^[ \t]*\*[ \t]?/gm, "")
    .replace(/\s*\n\s*/g, "\n")
    .trim();
}

/** Types that follow from schemas run to pages: their beginning is enough. */
const LONG = 1500;
const shortened = (code: string) => (code.length > LONG ? `${code.slice(0, 300).trimEnd()} …` : code);

/** "./core" and its declarations, in the order of package.json. */
export async function entries(): Promise<(readonly [name: string, types: string])[]> {
  const { exports } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as {
    exports: Record<string, { readonly types: string } | string>;
  };
  return Object.entries(exports).flatMap(([key, entry]) =>
    typeof entry === "string" ? [] : [[`fewstep${key.slice(1)}`, entry.types.replace("./dist/", "")] as const],
  );
}

/** The page, and the exports that have no docstring. */
export async function apiPage(folder: string): Promise<{ readonly page: string; readonly bare: readonly string[] }> {
  const known = new Map<string, string>();
  const parts: string[] = [];
  const bare = new Set<string>();
  for (const [entry, types] of await entries()) {
    const all = await exportsOf(folder, types);
    const again: string[] = [];
    const lines: string[] = [];
    for (const { name, kind, doc, code, file } of all) {
      const place = `${file} ${code}`;
      const first = known.get(place);
      if (first !== undefined && code !== "") {
        again.push(`\`${name}\` (${first})`);
        continue;
      }
      known.set(place, entry);
      if (doc === "" && kind === "function") bare.add(`${entry}: ${name} (${file})`);
      lines.push(`### ${name}`, "", ...(doc === "" ? [] : [doc, ""]));
      if (code !== "") lines.push("```ts", shortened(code), "```", "");
      lines.push(`[${file}](../${file})`.replace(/^\[([^\]]*)\]\(\.\.\/(?!src)[^)]*\)$/, "$1"), "");
    }
    parts.push(`## ${entry}`, "", ...(again.length > 0 ? [`Also: ${again.join(", ")}.`, ""] : []), ...lines);
  }
  const page = [
    "# API",
    "",
    "Every export of every entry point, with what its docstring says and its type. Written from the source by",
    "`npm run docs:api`.",
    "",
    ...parts,
  ].join("\n");
  return { page: `${page.trimEnd()}\n`, bare: [...bare] };
}

if (process.argv[1] === import.meta.filename) {
  const packed = await pack();
  try {
    const { page, bare } = await apiPage(packed.dist);
    await writeFile(join(root, "docs/api.md"), page);
    console.log(`docs/api.md: ${page.split("\n").length} lines. Functions without a docstring: ${bare.length}`);
    for (const name of bare) console.log(`  ${name}`);
  } finally {
    await packed.dispose();
  }
}
