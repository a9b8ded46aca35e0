// fewstep studio: the page where one sees why few steps are enough, on this machine alone.
import { join } from "node:path";
import * as z from "zod";
import type { Context } from "../../node/context.ts";
import { serveStudio } from "../../node/studioServer.ts";
import { command } from "../command.ts";

const PAGE = join(import.meta.dirname, "../../studio");

export const studioOptions = z.object({
  run: z
    .string()
    .optional()
    .describe("A run, a folder of runs or a comparison's report to look at.")
    .meta({ value: "dir" }),
  port: z.int().nonnegative().max(65_535).default(4173).describe("Of 127.0.0.1; 0: any that is free."),
  page: z.string().default(PAGE).describe("The folder of the built page, where it is another.").meta({ value: "dir" }),
});

export const studioCommand = command({
  name: "studio",
  summary: "Serve the studio, a page that shows the argument and a run, on 127.0.0.1 until Ctrl-C.",
  positional: ["run"],
  options: studioOptions,
  examples: [
    { does: "The page:", line: "studio" },
    { does: "The newest run, read only, at a port that is free:", line: "studio runs --port 0" },
  ],
  standalone: true,
  async run({ run, port, page }, { report, signal }: Context) {
    const server = await serveStudio({ page, run, port });
    try {
      const address = run === undefined ? server.address : `${server.address}#tab=runs`;
      report.event({ kind: "serving", address });
      report.result(`The studio is at ${address}`);
      report.note(`${run === undefined ? "" : `${run} is shown read only. `}Ctrl-C ends it.`);
      await new Promise<void>((done) => {
        if (signal.aborted) done();
        signal.addEventListener("abort", () => done(), { once: true });
      });
    } finally {
      await server.close();
    }
  },
});
