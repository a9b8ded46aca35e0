// The browser runtime and the example of docs/browser.md in a real Chromium.

import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import type { Browser, Page } from "playwright-core";
import { chromium } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  diffusion,
  draw,
  freshStart,
  memoryRun,
  memorySource,
  openModel,
  openToy,
  perflow,
  runJob,
} from "../../src/browser.ts";
import { freshState, train } from "../../src/run/train.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { chromiumPath } from "../studio/browser.ts";
import { families } from "../support/trainings.ts";
import type { InPage } from "./inPage.ts";
import { bundled, type Served, serve } from "./server.ts";

declare const inPage: InPage;

/** A name that is not localhost: browsers take such a page on http as not secure. */
const PLAIN = "plain.test";
const node = nodeRuntime({ threads: 1 });

/** The blocks of a document that carry a file's name. */
async function blocksOf(path: string): Promise<Readonly<Record<string, string>>> {
  const text = await readFile(resolve(import.meta.dirname, "../..", path), "utf8");
  return Object.fromEntries([...text.matchAll(/^```ts (\S+)\n(.*?)^```$/gms)].map(([, name, code]) => [name, code]));
}

if (chromiumPath === undefined)
  it.skipIf(process.env.CI !== "true")(
    "NOT TESTED IN A BROWSER: there is no Chromium (set CHROMIUM to its path)",
    () => {
      throw new Error("CI=true, and there is no Chromium: install the package chromium.");
    },
  );
else
  describe("in Chromium", { timeout: 240_000 }, () => {
    let browser: Browser;
    let server: Served;
    let isolated: Served;
    let model: Readonly<Record<string, Uint8Array>>;
    const errors: string[] = [];

    beforeAll(async () => {
      browser = await chromium.launch({
        executablePath: chromiumPath,
        args: [
          "--no-sandbox",
          "--disable-dev-shm-usage",
          "--enable-unsafe-webgpu",
          "--use-webgpu-adapter=swiftshader",
          `--host-resolver-rules=MAP ${PLAIN} 127.0.0.1`,
        ],
      });
      const training = { batch: 64, images: 3200, lr: 2e-3, warmup: 5 };
      const run = await memoryRun({
        runtime: node,
        recipe: diffusion,
        start: freshStart({ family: "mlp", config: { width: 16, depth: 1 } }),
        data: openToy("toy:moons"),
        training,
      });
      for await (const _ of runJob(run.job));
      model = run.files();
      const blocks = await blocksOf("docs/browser.md");
      const inPage = await bundled('import { inPage } from "./inPage.ts"; Object.assign(globalThis, { inPage });');
      const files = {
        "some/path/": '<!doctype html><title>t</title><body><script type="module" src="main.js"></script>',
        "some/path/main.js": await bundled(blocks["main.ts"]),
        "some/path/worker.ts": await bundled(blocks["worker.ts"]),
        "some/path/models/teacher/card.json": model["model/card.json"],
        "some/path/models/teacher/model.safetensors": model["model/model.safetensors"],
        "in-page/": '<!doctype html><title>t</title><script type="module" src="in-page.js"></script>',
        "in-page/in-page.js": inPage,
        "favicon.ico": "",
      };
      server = await serve(files);
      isolated = await serve(files, {
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-embedder-policy": "require-corp",
      });
    }, 240_000);
    afterAll(async () => {
      await browser?.close();
      server?.close();
      isolated?.close();
      expect(errors).toEqual([]);
    });

    async function open(url: string): Promise<Page> {
      const page = await browser.newPage();
      page.on("console", (message) => {
        if (message.type() === "error") errors.push(message.text());
      });
      page.on("pageerror", (error) => errors.push(String(error)));
      await page.addInitScript(() => {
        const seen: unknown[] = [];
        Object.assign(globalThis, { seen });
        const Original = globalThis.Worker;
        globalThis.Worker = class extends Original {
          constructor(...given: ConstructorParameters<typeof Worker>) {
            super(...given);
            this.addEventListener("message", ({ data }) => seen.push(data));
          }
        };
      });
      await page.goto(url);
      return page;
    }
    interface Seen {
      readonly kind: string;
      readonly loss: number;
      readonly step: number;
      readonly points: Record<string, number>;
      readonly files: Record<string, Record<string, number>>;
    }
    const seenBy = (page: Page) => page.evaluate(() => (globalThis as unknown as { seen: Seen[] }).seen);
    const ended = (page: Page) =>
      page.waitForFunction(
        () => (globalThis as unknown as { seen: { kind: string }[] }).seen.some(({ kind }) => kind === "files"),
        null,
        { timeout: 200_000 },
      );

    it("the example trains as in Node and draws, on plain http in a sub-path", async () => {
      const page = await open(`http://${PLAIN}:${server.port}/some/path/`);
      await ended(page);
      const seen = await seenBy(page);
      const facts = await page.evaluate(() => ({ secure: isSecureContext, subtle: crypto.subtle !== undefined }));
      expect(facts).toEqual({ secure: false, subtle: false });

      const parts = { "card.json": model["model/card.json"], "model.safetensors": model["model/model.safetensors"] };
      const teacher = await openModel(memorySource(parts, "teacher"));
      const run = await memoryRun({
        runtime: node,
        recipe: perflow,
        start: teacher.start,
        teacher,
        data: openToy("toy:moons"),
        training: { images: 25_600 },
      });
      const expected: number[] = [];
      for await (const event of runJob(run.job)) if (event.kind === "step") expected.push(event.loss ?? Number.NaN);
      const losses = seen.filter(({ kind }) => kind === "step").map(({ loss }) => loss);
      expect(losses).toHaveLength(100);
      const off = losses.map((loss, i) => Math.abs(loss / expected[i] - 1));
      console.log(
        `off by ${Math.max(...off.slice(0, 5)).toExponential(1)} in 5 steps, ${Math.max(...off).toExponential(1)} in 100`,
      );
      expect(Math.max(...off.slice(0, 5))).toBeLessThan(1e-6);
      expect(Math.max(...off)).toBeLessThan(1e-3);

      const student = run.model();
      if (!student) throw new Error("There is no student.");
      const { x } = await draw(student.start, node, { n: 500, steps: 4 });
      const points = Object.values(seen.find(({ kind }) => kind === "points")?.points ?? {});
      expect(points).toHaveLength(1000);
      expect(Math.max(...points.map((value, i) => Math.abs(value - x[i])))).toBeLessThan(1e-2);

      const drawn = await page.evaluate(() => {
        const canvas = document.querySelector("canvas");
        const data = canvas?.getContext("2d")?.getImageData(0, 0, canvas.width, canvas.height).data ?? [];
        return Array.from(data).filter((value, i) => i % 4 === 3 && value > 0).length;
      });
      expect(drawn).toBeGreaterThan(100);
      expect(await page.locator("button").textContent()).toMatch(/^stop at step 100, loss 0\.\d{4}$/);
      const names = Object.keys(seen.find(({ kind }) => kind === "files")?.files ?? {});
      expect(names).toEqual([
        "options.json",
        "log.jsonl",
        "model/card.json",
        "model/model.safetensors",
        "model/README.md",
      ]);
      await page.close();
    });

    it("a click stops the worker within a step", async () => {
      const page = await open(`http://127.0.0.1:${server.port}/some/path/`);
      await page.waitForFunction(() => /step [3-9]/.test(document.querySelector("button")?.textContent ?? ""), null, {
        timeout: 200_000,
        polling: 5,
      });
      const before = await page.evaluate(() => {
        document.querySelector("button")?.click();
        return (globalThis as unknown as { seen: { step: number }[] }).seen.at(-1)?.step ?? 0;
      });
      await ended(page);
      const steps = (await seenBy(page)).filter(({ kind }) => kind === "step");
      // One may have been on its way to the page, and one runs.
      expect(steps.length).toBeLessThanOrEqual(before + 2);
      await page.close();
    });

    it("without isolation there is one thread, and with it as many as asked for", async () => {
      const page = await open(`http://127.0.0.1:${server.port}/in-page/`);
      const single = await page.evaluate(() => inPage.facts({ threads: 2 }));
      expect(single).toMatchObject({ device: "wasm", threads: 1 });
      expect(single.notes).toEqual([expect.stringMatching(/^One thread: the page is not cross-origin isolated/)]);
      await page.close();
      const other = await open(`http://127.0.0.1:${isolated.port}/in-page/`);
      const several = await other.evaluate(() => inPage.losses({ threads: 2 }, "mlp"));
      expect(several).toMatchObject({ device: "wasm", notes: [], open: 0 });
      expect(await other.evaluate(() => inPage.facts({ threads: 2 }))).toMatchObject({ threads: 2, notes: [] });
      await other.close();
    });

    it("WebGPU trains as Wasm does, and says so when its device is lost", async () => {
      const page = await open(`http://127.0.0.1:${server.port}/in-page/`);
      const [stage] = families;
      const expected: number[] = [];
      for await (const event of train(stage.stage, stage.data, node, freshState(stage.stage), stage.options))
        if (event.kind === "step") expected.push(event.loss, event.norm);
      const got = await page.evaluate(() => inPage.losses({ device: "webgpu" }, "mlp"));
      console.log(`${got.device}: ${got.notes.join(" ") || "no notes"}`);
      if (got.device === "webgpu") {
        const off = Math.max(...got.found.map((x, i) => Math.abs(x / expected[i] - 1)));
        console.log(`WebGPU off by ${off.toExponential(1)}`);
        expect(off).toBeLessThan(1e-5);
        const lost = await page.evaluate(() => inPage.lost("mlp"));
        expect(lost).toMatch(/^Error: The graphics device was lost \(destroyed/);
        // The rest goes on.
        const after = await page.evaluate(() => inPage.losses({ device: "wasm" }, "mlp"));
        expect(Math.max(...after.found.map((x, i) => Math.abs(x / expected[i] - 1)))).toBeLessThan(1e-6);
      } else {
        // Then it has said why, and Wasm did it.
        expect(process.env.CI, got.notes.join()).not.toBe("true");
        expect(got.notes).toEqual([expect.stringMatching(/^WebGPU cannot be used here: /)]);
        expect(Math.max(...got.found.map((x, i) => Math.abs(x / expected[i] - 1)))).toBeLessThan(1e-6);
      }
      await page.close();
    });

    it("WebGPU on plain http is a note", async () => {
      const page = await open(`http://${PLAIN}:${server.port}/in-page/`);
      const facts = await page.evaluate(() => inPage.facts({ device: "webgpu" }));
      expect(facts).toMatchObject({ device: "wasm", secure: false, subtle: false });
      expect(facts.notes.join()).toMatch(/only to pages from https or localhost/);
      await page.close();
    });
  });
