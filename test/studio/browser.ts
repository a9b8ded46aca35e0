// A real Chromium for tests of the page.
import { existsSync } from "node:fs";
import { type Browser, chromium } from "playwright-core";

const places = [
  process.env.CHROMIUM,
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/** Undefined where there is none. With CI=true that is a failure of the test that asks. */
export const chromiumPath: string | undefined = places.find((path) => path !== undefined && existsSync(path));

/** A name that browsers do not trust over plain http, as they do 127.0.0.1. */
export const PLAIN = "plain.test";

export const openBrowser = (): Promise<Browser> =>
  chromium.launch({
    executablePath: chromiumPath,
    args: ["--no-sandbox", "--disable-dev-shm-usage", `--host-resolver-rules=MAP ${PLAIN} 127.0.0.1`],
  });
