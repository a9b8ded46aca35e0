// The built page in a real Chromium, served as `fewstep studio` serves it: particles move, training runs and stops.
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { unzipSync } from "fflate";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadModel } from "../../src/node/models.ts";
import { readLog } from "../../src/node/runDir.ts";
import { type StudioServer, serveStudio } from "../../src/node/studioServer.ts";
import { chromiumPath, openBrowser, PLAIN } from "./browser.ts";
import { plainHost } from "./plainHost.ts";

/** FEWSTEP_SCREENSHOTS=<folder> keeps what the page looked like. */
const screenshots = process.env.FEWSTEP_SCREENSHOTS;

/** Milliseconds. A quiet machine needs a few seconds; what is checked is that it comes. */
const PATIENCE = 120_000;

if (chromiumPath === undefined)
  it.skipIf(process.env.CI !== "true")(
    "THE STUDIO IS NOT TESTED: there is no Chromium (set CHROMIUM to its path)",
    () => {
      throw new Error("CI=true, and there is no Chromium: install the package chromium.");
    },
  );
else
  describe("the studio", { timeout: 6 * PATIENCE }, () => {
    let place = "";
    let server: StudioServer;
    let browser: Browser;
    const errors: string[] = [];

    async function open(
      hash = "",
      options: Parameters<Browser["newContext"]>[0] = {},
      address = server.address,
    ): Promise<Page> {
      const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
      const page = await context.newPage();
      page.on("console", (m) => {
        // Only this test reads pixels back.
        if (m.text().includes("willReadFrequently")) return;
        if (m.type() === "error" || m.type() === "warning") errors.push(`${m.type()}: ${m.text()}`);
      });
      page.on("pageerror", (error) => errors.push(String(error)));
      page.setDefaultTimeout(PATIENCE);
      await page.goto(address + hash);
      return page;
    }
    const shot = async (page: Page, name: string) => {
      if (screenshots) await page.screenshot({ path: join(screenshots, `${name}.png`), fullPage: true });
    };
    /** The pixels of the first canvas that are not as they were a moment ago. */
    const moved = (page: Page) =>
      page.evaluate(async () => {
        const canvas = document.querySelector<HTMLCanvasElement>(".plane canvas");
        const read = () => canvas?.getContext("2d")?.getImageData(0, 0, canvas.width, canvas.height).data;
        const before = read();
        await new Promise((done) => setTimeout(done, 200));
        const after = read();
        if (!before || !after || before.length !== after.length) return 0;
        let count = 0;
        for (let i = 0; i < after.length; i += 4) if (after[i] !== before[i] || after[i + 1] !== before[i + 1]) count++;
        return count;
      });
    const notes = (page: Page) => page.locator("figcaption p").allTextContents();
    const stepsDone = (page: Page) =>
      page
        .locator(".status")
        .getAttribute("data-step", { timeout: 1000 })
        .then(Number, () => 0);

    beforeAll(async () => {
      place = await mkdtemp(join(tmpdir(), "fewstep-page-"));
      const [root, run] = [join(import.meta.dirname, "../../studio"), join(place, "run")];
      // As `npm run studio:build` does it: in this process NODE_ENV is "test".
      const vite = join(root, "../node_modules/vite/bin/vite.js");
      const env = { ...process.env, NODE_ENV: "production" };
      await promisify(execFile)(process.execPath, [vite, "build", root, "--outDir", join(place, "page")], { env });
      await mkdir(run);
      await cp(join(root, "static/models/moons/perflow"), join(run, "model"), { recursive: true });
      const line = (images: number) =>
        JSON.stringify({ kind: "step", step: images / 64, images, loss: 1 / images, rate: 1e-3 });
      await writeFile(join(run, "log.jsonl"), `${[64, 128, 256].map(line).join("\n")}\n`);
      server = await serveStudio({ page: join(place, "page"), run, port: 0 });
      browser = await openBrowser();
    }, 180_000);
    afterAll(async () => {
      await browser?.close();
      await server?.close();
      await rm(place, { recursive: true, force: true });
    });

    it("keeps its JavaScript within a budget, the larger part of it in the worker", async () => {
      const assets = join(place, "page", "assets");
      const sizes = await Promise.all(
        (await readdir(assets))
          .filter((name) => name.endsWith(".js"))
          .map(async (name) => ({ name, kB: gzipSync(await readFile(join(assets, name))).length / 1000 })),
      );
      console.log(sizes.map(({ name, kB }) => `${name}: ${kB.toFixed(0)} kB gzip`).join(", "));
      const page = sizes.filter(({ name }) => name.startsWith("index")).reduce((sum, { kB }) => sum + kB, 0);
      expect(page).toBeLessThan(80);
      expect(sizes.reduce((sum, { kB }) => sum + kB, 0)).toBeLessThan(260);
    });

    it("shows particles that move soon after it was opened", async () => {
      const page = await open();
      const begin = performance.now();
      await expect.poll(() => moved(page), { timeout: PATIENCE, interval: 50 }).toBeGreaterThan(500);
      const seconds = (performance.now() - begin) / 1000;
      console.log(`the first particles moved after ${seconds.toFixed(1)} s`);
      await expect
        .poll(() => notes(page), { timeout: PATIENCE })
        .toEqual(Array(3).fill("4 steps, 4 network evaluations"));
      await shot(page, "argument-light");
      await page.context().close();
    });

    it("takes another number of steps, another seed, and keeps them in its address", async () => {
      const page = await open("#data=moons&t=0");
      await page.locator("fieldset label", { hasText: /^\s*64\s*$/ }).click();
      await expect
        .poll(() => page.locator("figcaption p").first().textContent(), { timeout: PATIENCE })
        .toBe("64 steps, 64 network evaluations");
      await page.locator("fieldset label", { hasText: /^\s*1\s*$/ }).click();
      await expect
        .poll(() => page.locator("figcaption p").allTextContents(), { timeout: PATIENCE })
        .toEqual([
          "1 step, 1 network evaluation",
          "4 steps, 4 network evaluations: one in each window is the least",
          "1 step, 1 network evaluation",
        ]);
      await page.getByLabel("Seed").fill("7");
      await page.getByLabel("Seed").press("Enter");
      await expect.poll(() => page.url(), { timeout: PATIENCE }).toContain("#data=moons&seed=7&steps=1&t=0");
      // The order that the papers argue for: after one step the student of pairs is closer than its teacher.
      const cells = page.locator("tbody tr").first().locator("td");
      await expect.poll(() => cells.first().textContent(), { timeout: PATIENCE }).toMatch(/^\d/);
      await expect.poll(() => cells.nth(4).textContent(), { timeout: PATIENCE }).toMatch(/^\d/);
      const [teacher, rectified] = [await cells.first().textContent(), await cells.nth(4).textContent()];
      expect(Number(rectified)).toBeLessThan(0.5 * Number(teacher));
      await page.context().close();
    });

    it("marks one particle in all three", async () => {
      const page = await open("#t=0");
      await expect
        .poll(() => page.locator("figcaption p").nth(2).textContent(), { timeout: PATIENCE })
        .toContain("4 steps");
      const ink = () =>
        page.evaluate(() =>
          [...document.querySelectorAll<HTMLCanvasElement>(".plane canvas:last-of-type")].map((canvas) => {
            const data = canvas.getContext("2d")?.getImageData(0, 0, canvas.width, canvas.height).data ?? [];
            let full = 0;
            for (let i = 3; i < data.length; i += 4) if (data[i] === 255) full++;
            return full;
          }),
        );
      const before = await ink();
      await page.locator(".plane").first().focus();
      await page.keyboard.press("ArrowRight");
      await expect
        .poll(async () => (await ink()).map((full, i) => full > before[i] + 20), { timeout: PATIENCE })
        .toEqual([true, true, true]);
      await page.context().close();
    });

    it("trains twenty steps, pauses, stops, and gives the run as a folder", async () => {
      const page = await open("#data=moons&t=0&o.images=25600");
      await expect
        .poll(() => page.locator("figcaption p").nth(1).textContent(), { timeout: PATIENCE })
        .toContain("4 steps");
      await page.getByRole("button", { name: "Train", exact: true }).click();
      await expect.poll(() => stepsDone(page), { timeout: PATIENCE }).toBeGreaterThanOrEqual(20);
      const said = await page.locator(".status").textContent();
      expect(said).toMatch(/loss 0\.0*[1-9]|loss \d*\.\d*[1-9]/);
      expect(said).toMatch(/\d+ steps\/s · Wasm, \d+ thread/);
      await page.getByRole("button", { name: "Pause", exact: true }).click();
      await expect.poll(() => page.locator(".status").getAttribute("data-state"), { timeout: PATIENCE }).toBe("paused");
      await page.waitForTimeout(300);
      const paused = await stepsDone(page);
      await page.waitForTimeout(500);
      expect(await stepsDone(page)).toBe(paused);
      await shot(page, "training");
      await page.getByRole("button", { name: "Go on" }).click();
      await expect.poll(() => stepsDone(page), { timeout: PATIENCE }).toBeGreaterThan(paused);
      await page.getByRole("button", { name: "Stop" }).click();
      await expect
        .poll(() => page.locator(".status").textContent(), { timeout: PATIENCE })
        .toMatch(/^\s*Stopped after/);
      const [file] = await Promise.all([
        page.waitForEvent("download"),
        page.getByRole("button", { name: /Run folder/ }).click(),
      ]);
      expect(file.suggestedFilename()).toBe("00000-perflow-moons.zip");
      await file.saveAs(join(place, "run.zip"));
      const files = unzipSync(new Uint8Array(await readFile(join(place, "run.zip"))));
      for (const [name, bytes] of Object.entries(files)) {
        await mkdir(dirname(join(place, "saved", name)), { recursive: true });
        await writeFile(join(place, "saved", name), bytes);
      }
      const student = await loadModel(join(place, "saved", "00000-perflow-moons"));
      const teacher = await loadModel(join(place, "saved", "teacher"));
      expect(student.card?.recipe.method).toBe("perflow");
      expect(student.card?.imagesSeen).toBeGreaterThanOrEqual(20 * 256);
      expect(student.card?.base).toBe(teacher.hash);
      expect(student.theta.some((value, i) => value !== teacher.theta[i])).toBe(true);
      expect(await readLog(join(place, "saved", "00000-perflow-moons", "log.jsonl"))).not.toEqual([]);
      await page.getByRole("button", { name: "Reset" }).click();
      await expect
        .poll(() => page.locator("figcaption p").nth(1).textContent(), { timeout: PATIENCE })
        .toContain("4 steps");
      await page.context().close();
    });

    it("opens the run that it is served with", async () => {
      const page = await open("#tab=runs");
      await expect
        .poll(() => page.getByRole("tabpanel").textContent(), { timeout: PATIENCE })
        .toContain("A student made by PeRFlow");
      await expect.poll(() => page.locator("tbody canvas").count(), { timeout: PATIENCE }).toBe(2);
      await expect.poll(() => page.locator(".curve canvas").count(), { timeout: PATIENCE }).toBe(1);
      await shot(page, "runs");
      await page.context().close();
    });

    it("draws digits, of one class too", async () => {
      const page = await open("#tab=digits");
      const ready = () => page.getByRole("status").textContent();
      await expect.poll(ready, { timeout: PATIENCE }).toMatch(/^20 samples, 1 network evaluation each/);
      await page.getByLabel("Class").selectOption("3");
      await expect.poll(ready, { timeout: PATIENCE }).toMatch(/^20 samples/);
      await shot(page, "digits");
      await page.context().close();
    });

    it("works in a sub-path of any static host, on plain http, without isolation", async () => {
      const { server: host, port } = await plainHost(join(place, "page"), "/some/where/");
      const page = await open("#data=moons&t=0&o.images=2560", {}, `http://${PLAIN}:${port}/some/where/`);
      expect(await page.evaluate(() => [isSecureContext, crossOriginIsolated])).toEqual([false, false]);
      await expect
        .poll(() => notes(page), { timeout: PATIENCE })
        .toEqual(Array(3).fill("4 steps, 4 network evaluations"));
      await page.getByRole("button", { name: "Train", exact: true }).click();
      const status = page.locator(".training").getByRole("status");
      await expect.poll(() => status.textContent(), { timeout: PATIENCE }).toMatch(/Done after 2,560 points/);
      await page.getByRole("tab", { name: "Runs" }).click();
      await expect
        .poll(() => page.getByRole("tabpanel").textContent(), { timeout: PATIENCE })
        .toContain("Drop a run folder here");
      await page.context().close();
      await new Promise((done) => host.close(done));
    });

    it("is as usable on a phone and in the dark", async () => {
      const page = await open("", { viewport: { width: 390, height: 844 }, colorScheme: "dark", hasTouch: true });
      await expect
        .poll(() => page.locator("figcaption p").nth(2).textContent(), { timeout: PATIENCE })
        .toContain("4 steps");
      expect(await page.evaluate(() => document.documentElement.getAttribute("data-theme"))).toBe("dark");
      // Nothing is wider than the screen.
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
      await shot(page, "phone-dark");
      await page.context().close();
    });

    it("had nothing to complain of", () => {
      expect(errors).toEqual([]);
    });
  });
