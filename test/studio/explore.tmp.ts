import { writeFileSync } from "node:fs";
import { serveStudio } from "../../src/node/studioServer.ts";
import { openBrowser } from "./browser.ts";

const out = "/tmp/shots";
const server = await serveStudio({ page: "dist/studio", run: process.argv[2] ?? "/tmp/cmp", port: 0 });
const browser = await openBrowser();
const log = (...a: unknown[]) => console.log((performance.now() / 1000).toFixed(1), ...a);
async function open(hash: string, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  page.on("console", (m) => log("console", m.type(), m.text().slice(0, 300)));
  page.on("pageerror", (e) => log("pageerror", String(e.stack ?? e).slice(0, 600)));
  const begin = performance.now();
  await page.goto(server.address + hash);
  log("opened", hash, ((performance.now() - begin) / 1000).toFixed(2));
  return page;
}
const attempt = async (name: string, f: () => Promise<void>) => {
  try {
    await f();
    log("ok", name);
  } catch (e) {
    log("FAILED", name, String(e).slice(0, 500));
  }
};
await attempt("argument", async () => {
  const page = await open("");
  const begin = performance.now();
  await page.waitForFunction(() => /t = 0\.[0-8]/.test(document.body.textContent ?? ""), undefined, {
    timeout: 40000,
    polling: 50,
  });
  log("moved after", ((performance.now() - begin) / 1000).toFixed(2));
  await page.waitForFunction(() => /t = 0\.00/.test(document.body.textContent ?? ""), undefined, { timeout: 40000 });
  await page.screenshot({ path: `${out}/a1.png`, fullPage: true });
  await page.waitForFunction(() => !/Measuring/.test(document.body.textContent ?? ""), undefined, { timeout: 90000 });
  await page.screenshot({ path: `${out}/a2.png`, fullPage: true });
  log(await page.locator("table").first().innerText());
  await page.context().close();
});
await attempt("training", async () => {
  const page = await open("#data=moons&t=0");
  await page.getByRole("button", { name: "Train", exact: true }).click({ timeout: 20000 });
  await page.waitForTimeout(12000);
  log(await page.locator(".status").textContent({ timeout: 1000 }));
  await page.screenshot({ path: `${out}/t1.png`, fullPage: true });
  await page.getByRole("button", { name: "Stop" }).click();
  await page.waitForTimeout(1500);
  log(await page.locator(".status").textContent({ timeout: 1000 }));
  await page.context().close();
});
await attempt("digits", async () => {
  const page = await open("#tab=digits", { colorScheme: "dark" });
  await page.waitForFunction(() => /samples, 1 network/.test(document.body.textContent ?? ""), undefined, {
    timeout: 40000,
  });
  await page.screenshot({ path: `${out}/d1.png`, fullPage: true });
  await page.context().close();
});
await attempt("runs", async () => {
  const page = await open("#tab=runs");
  await page.waitForTimeout(15000);
  await page.screenshot({ path: `${out}/r1.png`, fullPage: true });
  await page.context().close();
});
await attempt("phone", async () => {
  const page = await open("#steps=1", {
    viewport: { width: 390, height: 844 },
    colorScheme: "dark",
    hasTouch: true,
    deviceScaleFactor: 2,
  });
  await page.waitForTimeout(9000);
  await page.screenshot({ path: `${out}/p1.png`, fullPage: true });
  log("scrollWidth", await page.evaluate(() => document.documentElement.scrollWidth));
  await page.context().close();
});
await attempt("draw", async () => {
  const page = await open("#t=0");
  await page.getByRole("button", { name: /Draw or drop/ }).click();
  const box = await page.locator(".own canvas").boundingBox();
  if (box) {
    await page.mouse.move(box.x + 60, box.y + 60);
    await page.mouse.down();
    for (let i = 0; i < 40; i++)
      await page.mouse.move(box.x + 160 + 100 * Math.cos(i / 6), box.y + 160 + 100 * Math.sin(i / 6));
    await page.mouse.up();
  }
  await page.screenshot({ path: `${out}/o1.png`, fullPage: false });
  await page.getByRole("button", { name: "Use the drawing" }).click();
  await page.getByRole("button", { name: "Train", exact: true }).click({ timeout: 5000 });
  await page.waitForTimeout(10000);
  await page.screenshot({ path: `${out}/o2.png`, fullPage: true });
  await page.context().close();
});
writeFileSync(`${out}/done`, "");
await browser.close();
await server.close();
