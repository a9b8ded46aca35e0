// The studio's page on 127.0.0.1, and with it one folder to look at. Read only: nothing is written, nothing outside the two
// folders is read, and pages of other names (DNS rebinding) are refused.
import { createReadStream } from "node:fs";
import { readdir, readFile, realpath, stat } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { basename, extname, join, relative, resolve, sep } from "node:path";

export interface StudioServer {
  /** "http://127.0.0.1:4321/" */
  readonly address: string;
  close(): Promise<void>;
}

export interface StudioOptions {
  /** The folder of the built page. */
  readonly page: string;
  /** The folder to look at, if there is one. */
  readonly run?: string;
  /** 0: any that is free. */
  readonly port: number;
}

const types: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".json": "application/json; charset=utf-8",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".wasm": "application/wasm",
};

/** Of the run, only these are shown as what they are; anything else is bytes: a run's files must not become a page. */
const shownTypes: Readonly<Record<string, string>> = {
  ".json": "application/json; charset=utf-8",
  ".jsonl": "text/plain; charset=utf-8",
  ".png": "image/png",
};

/** Files listed at most, and levels of folders: a wrong folder must not be walked for hours. */
const MOST_FILES = 20_000;
const DEEPEST = 6;

/** Throws an Error, a sentence, where the port is taken or a folder is not there. */
export async function serveStudio({ page, run, port }: StudioOptions): Promise<StudioServer> {
  const root = await realpath(page).catch(() => undefined);
  if (!root || !(await isFile(join(root, "index.html"))))
    throw new Error(`The page of the studio is not built: ${page} has no index.html. Run: npm run studio:build`);
  const shown = run === undefined ? undefined : await folderAt(run);
  const server = createServer((request, response) => {
    answer(request, response, { root, run: shown, port: portOf(server) }).catch((error: unknown) => {
      if (!response.headersSent) send(response, 500, "The file could not be read.");
      else response.destroy(error instanceof Error ? error : undefined);
    });
  });
  await new Promise<void>((done, fail) => {
    server.once("error", (error: NodeJS.ErrnoException) =>
      fail(
        error.code === "EADDRINUSE"
          ? new Error(`Port ${port} is taken. Give another --port, or 0 for any that is free.`)
          : error,
      ),
    );
    server.listen(port, "127.0.0.1", done);
  });
  return {
    address: `http://127.0.0.1:${portOf(server)}/`,
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
}

async function folderAt(path: string): Promise<string> {
  const real = await realpath(path).catch(() => undefined);
  if (!real) throw new Error(`${path} does not exist, expected a folder with a run.`);
  if (!(await stat(real)).isDirectory()) throw new Error(`${path} is a file, expected a folder with a run.`);
  return real;
}

const portOf = (server: Server): number => {
  const address = server.address();
  return typeof address === "object" && address ? address.port : 0;
};

interface Places {
  readonly root: string;
  readonly run?: string;
  readonly port: number;
}

async function answer(request: IncomingMessage, response: ServerResponse, places: Places): Promise<void> {
  const { root, run, port } = places;
  const hosts = [`127.0.0.1:${port}`, `localhost:${port}`];
  if (!hosts.includes((request.headers.host ?? "").toLowerCase()))
    return send(response, 403, `This server answers to ${hosts.join(" and ")} only.`);
  const { origin } = request.headers;
  if (origin !== undefined && !hosts.includes(origin.replace(/^http:\/\//, "").toLowerCase()))
    return send(response, 403, "Pages from elsewhere may not read this.");
  if (request.method !== "GET" && request.method !== "HEAD")
    return send(response, 405, "This server is read only.", { allow: "GET, HEAD" });
  const parts = partsOf(request.url ?? "/");
  if (!parts) return send(response, 400, "The path is none of a file here.");
  const head = request.method === "HEAD";
  if (parts.length === 0 || parts.join() === "index.html") return sendPage(response, root, run !== undefined, head);
  if (parts[0] !== "run") return sendFile(response, root, parts, types, head);
  if (run === undefined) return send(response, 404, "No run folder was given.");
  if (parts.length > 1) return sendFile(response, run, parts.slice(1), shownTypes, head);
  const files = await filesIn(run);
  const body = JSON.stringify({ name: basename(run), files });
  response.writeHead(200, { ...headers, "content-type": types[".json"] }).end(head ? undefined : body);
}

/** The parts of a path, decoded once; undefined for one that could mean another place than it says. */
export function partsOf(url: string): string[] | undefined {
  if (!url.startsWith("/")) return undefined;
  const [path] = url.split(/[?#]/);
  let parts: string[];
  try {
    parts = path.split("/").slice(1).map(decodeURIComponent);
  } catch {
    return undefined;
  }
  if (parts.at(-1) === "") parts.pop();
  // "%2e%2e", "%2f" and "%5c" are what they stand for by now; hidden files are not for showing.
  const safe = parts.every((part) => part !== "" && !part.startsWith(".") && !/[/\\\0:]/.test(part));
  return safe ? parts : undefined;
}

const headers = {
  // Threads of Wasm need these two.
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp",
  "cross-origin-resource-policy": "same-origin",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cache-control": "no-cache",
} as const;

function send(response: ServerResponse, code: number, text: string, more: Record<string, string> = {}): void {
  response.writeHead(code, { ...headers, "content-type": "text/plain; charset=utf-8", ...more }).end(`${text}\n`);
}

/** The page, told whether there is a run to ask for. */
async function sendPage(response: ServerResponse, root: string, withRun: boolean, head: boolean): Promise<void> {
  const text = await readFile(join(root, "index.html"), "utf8");
  const told = withRun ? text.replace('<div id="app"', '<div id="app" data-run') : text;
  response.writeHead(200, { ...headers, "content-type": types[".html"] }).end(head ? undefined : told);
}

async function sendFile(
  response: ServerResponse,
  root: string,
  parts: readonly string[],
  known: Readonly<Record<string, string>>,
  head: boolean,
): Promise<void> {
  const path = await inside(root, join(root, ...parts));
  const info = path === undefined ? undefined : await stat(path);
  if (!path || !info?.isFile()) return send(response, 404, "There is no such file here.");
  response.writeHead(200, {
    ...headers,
    "content-type": known[extname(path).toLowerCase()] ?? "application/octet-stream",
    "content-length": info.size,
  });
  if (head) return void response.end();
  await new Promise<void>((done, fail) => {
    const stream = createReadStream(path);
    // A file that shrinks meanwhile, or a reader that goes away, ends this answer alone.
    stream.once("error", fail);
    response.once("close", () => {
      stream.destroy();
      done();
    });
    stream.pipe(response);
  });
}

/** The real path, where it is inside the folder: links that lead out are not followed. */
async function inside(root: string, path: string): Promise<string | undefined> {
  const real = await realpath(path).catch(() => undefined);
  if (real === undefined) return undefined;
  const way = relative(root, real);
  return way === "" || way === ".." || way.startsWith(`..${sep}`) || resolve(way) === way ? undefined : real;
}

/** Files that may be read, with "/" between folders. */
async function filesIn(root: string): Promise<string[]> {
  const out: string[] = [];
  const walk = async (folder: string, prefix: string, depth: number): Promise<void> => {
    const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      if (entry.name.startsWith(".") || out.length >= MOST_FILES) continue;
      const path = join(folder, entry.name);
      if (entry.isDirectory()) {
        if (depth < DEEPEST) await walk(path, `${prefix}${entry.name}/`, depth + 1);
      } else if (entry.isFile() || (entry.isSymbolicLink() && (await isFile(path)) && (await inside(root, path)))) {
        out.push(`${prefix}${entry.name}`);
      }
    }
  };
  await walk(root, "", 0);
  return out;
}

const isFile = (path: string): Promise<boolean> =>
  stat(path).then(
    (info) => info.isFile(),
    () => false,
  );
