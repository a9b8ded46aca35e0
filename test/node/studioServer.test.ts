// The studio's server gives the page and one folder, to this machine, and nothing else.
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { partsOf, type StudioServer, serveStudio } from "../../src/node/studioServer.ts";

let place = "";
let server: StudioServer;
let port = 0;

beforeAll(async () => {
  place = await mkdtemp(join(tmpdir(), "fewstep-studio-"));
  const [page, run] = [join(place, "page"), join(place, "run")];
  await mkdir(join(page, "assets"), { recursive: true });
  await mkdir(join(run, "model"), { recursive: true });
  await writeFile(join(page, "index.html"), "<title>studio</title>");
  await writeFile(join(page, "assets", "a.js"), "1");
  await writeFile(join(run, "model", "card.json"), "{}");
  await writeFile(join(run, "evil.html"), "<script>1</script>");
  await writeFile(join(run, ".secret"), "hidden");
  await writeFile(join(run, "ümlaut 1.png"), "png");
  await writeFile(join(place, "outside.txt"), "outside");
  await symlink(join(place, "outside.txt"), join(run, "link.txt"));
  await symlink(place, join(run, "up"));
  await symlink(join(run, "model", "card.json"), join(run, "inner.json"));
  server = await serveStudio({ page, run, port: 0 });
  port = Number(new URL(server.address).port);
});
afterAll(async () => {
  await server.close();
  await rm(place, { recursive: true, force: true });
});

interface Got {
  readonly code: number;
  readonly type: string;
  readonly text: string;
  readonly headers: Readonly<Record<string, unknown>>;
}

/** Without a client that would tidy the path up. */
const get = (path: string, options: { method?: string; headers?: Record<string, string> } = {}): Promise<Got> =>
  new Promise((done, fail) => {
    const { method = "GET", headers = {} } = options;
    const asked = request({ host: "127.0.0.1", port, path, method, headers }, (answer) => {
      let text = "";
      answer.setEncoding("utf8");
      answer.on("data", (part: string) => {
        text += part;
      });
      answer.on("end", () =>
        done({
          code: answer.statusCode ?? 0,
          type: answer.headers["content-type"] ?? "",
          text,
          headers: answer.headers,
        }),
      );
    });
    asked.on("error", fail);
    asked.end();
  });

it("serves the page and the run, with the headers that threads need", async () => {
  const page = await get("/");
  expect(page).toMatchObject({ code: 200, type: "text/html; charset=utf-8", text: "<title>studio</title>" });
  expect(page.headers).toMatchObject({
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "x-content-type-options": "nosniff",
  });
  expect(await get("/assets/a.js?v=1")).toMatchObject({ code: 200, type: "text/javascript; charset=utf-8", text: "1" });
  expect(await get("/run/model/card.json")).toMatchObject({ code: 200, text: "{}" });
  expect(await get("/run/%C3%BCmlaut%201.png")).toMatchObject({ code: 200, type: "image/png", text: "png" });
  expect(await get("/", { method: "HEAD" })).toMatchObject({ code: 200, text: "" });
});

it("lists the run without hidden files and without links that lead out", async () => {
  const { code, text } = await get("/run/");
  expect(code).toBe(200);
  expect(JSON.parse(text)).toEqual({
    name: "run",
    files: ["evil.html", "inner.json", "model/card.json", "ümlaut 1.png"],
  });
});

it("never shows a run's file as a page", async () => {
  expect(await get("/run/evil.html")).toMatchObject({ code: 200, type: "application/octet-stream" });
});

it.each([
  "/run/../outside.txt",
  "/../outside.txt",
  "/run/%2e%2e/outside.txt",
  "/run/%2E%2E%2Foutside.txt",
  "/run/..%2foutside.txt",
  "/run/model/%2e%2e/%2e%2e/outside.txt",
  "/run/..%5coutside.txt",
  "/run//etc/passwd",
  "//etc/passwd",
  "/run/%00",
  "/run/%",
  "/run/.secret",
  "/run/./model/card.json",
  "/run/link.txt",
  "/run/up/outside.txt",
  "/run/C:/x",
  "/%252e%252e/outside.txt",
])("gives nothing for %s", async (path) => {
  const { code, text } = await get(path);
  expect([400, 404]).toContain(code);
  expect(text).not.toContain("outside");
  expect(text).not.toContain("hidden");
});

it("gives nothing for a path that is a whole address", async () => {
  const answer = await new Promise<string>((done, fail) => {
    const socket = connect(port, "127.0.0.1", () =>
      socket.write(
        `GET http://127.0.0.1:${port}/run/../outside.txt HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: close\r\n\r\n`,
      ),
    );
    let text = "";
    socket.on("data", (part) => {
      text += part;
    });
    socket.on("end", () => done(text));
    socket.on("error", fail);
  });
  expect(answer).toMatch(/^HTTP\/1\.1 400 /);
});

it("is there on 127.0.0.1 and answers to its own names alone", async () => {
  expect(server.address).toBe(`http://127.0.0.1:${port}/`);
  for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, `LOCALHOST:${port}`])
    expect((await get("/", { headers: { host } })).code).toBe(200);
  for (const host of [
    "evil.example",
    `evil.example:${port}`,
    "127.0.0.1",
    `127.0.0.1:${port + 1}`,
    `127.0.0.1.evil:${port}`,
  ])
    expect(await get("/run/", { headers: { host } })).toMatchObject({ code: 403 });
  expect((await get("/run/", { headers: { origin: "http://evil.example" } })).code).toBe(403);
  expect((await get("/run/", { headers: { origin: `http://127.0.0.1:${port}` } })).code).toBe(200);
});

it.each(["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])("is read only: %s", async (method) => {
  expect(await get("/run/model/card.json", { method })).toMatchObject({ code: 405 });
});

it("says what is wrong before it serves", async () => {
  const page = join(place, "page");
  await expect(serveStudio({ page: place, port: 0 })).rejects.toThrow("is not built");
  await expect(serveStudio({ page, run: join(place, "none"), port: 0 })).rejects.toThrow("does not exist");
  await expect(serveStudio({ page, run: join(place, "outside.txt"), port: 0 })).rejects.toThrow("is a file");
  await expect(serveStudio({ page, port })).rejects.toThrow(`Port ${port} is taken.`);
});

it("has no run where none was given", async () => {
  const alone = await serveStudio({ page: join(place, "page"), port: 0 });
  const answer = await fetch(new URL("run/", alone.address));
  expect(answer.status).toBe(404);
  await alone.close();
});

it("reads the parts of a path once", () => {
  expect(partsOf("/run/a%20b/c.json?x#y")).toEqual(["run", "a b", "c.json"]);
  expect(partsOf("/")).toEqual([]);
  expect(partsOf("*")).toBeUndefined();
});
