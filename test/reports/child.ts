// A process of its own, so that what kills it or takes its memory is seen from outside. Answers one question at a time.
import type { Answer, Question } from "./cases.ts";
import { readCase } from "./readers.ts";

process.on("message", async ({ root, test }: Question) => {
  const answer: Answer = await readCase(root, test).then(
    (seen) => ({ seen }),
    (error: unknown) => ({
      error:
        error instanceof Error
          ? { name: error.name, message: error.message.slice(0, 5000) }
          : { name: typeof error, message: String(error).slice(0, 5000) },
    }),
  );
  process.send?.(answer);
});
process.send?.("ready");
