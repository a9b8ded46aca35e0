// A page for tests: its scripts are bundled, and served with the .wasm files of onnxruntime-web beside them.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { resolve } from "node:path";
import { build } from "esbuild";

const root = resolve(import.meta.dirname, "../..");
const wasm = resolve(root, "node_modules/onnxruntime-web/dist");

/** A script as a browser takes it; the package goes by its own name. */
export async function bundled(contents: string): Promise<Uint8Array> {
  const made = await build({
    stdin: { contents, resolveDir: import.meta.dirname, loader: "ts" },
    bundle: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    alias: { "fewstep/browser": resolve(root, "src/browser.ts") },
    write: false,
    logLevel: "silent",
  });
  return made.outputFiles[0].contents;
}

export interface Served {
  readonly port: number;
  close(): void;
}

/** `files` by their paths, "page/main.js"; all on 127.0.0.1. */
export async function serve(
  files: Readonly<Record<string, Uint8Array | string>>,
  headers: Readonly<Record<string, string>> = {},
): Promise<Served> {
  const server = createServer(async ({ url = "" }, response) => {
    const path = url.slice(1);
    const name = path.split("/").at(-1) ?? "";
    const bytes = files[path] ?? (/^ort-[\w.-]+$/.test(name) ? await readFile(resolve(wasm, name)) : undefined);
    const type = /\.(js|ts|mjs)$/.test(name)
      ? "text/javascript"
      : name.endsWith(".wasm")
        ? "application/wasm"
        : "text/html; charset=utf-8";
    response.writeHead(bytes === undefined ? 404 : 200, { "content-type": type, ...headers }).end(bytes);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return { port: (server.address() as AddressInfo).port, close: () => server.close() };
}
