// What became of one input.
import { unclear } from "../test/reports/cases.ts";
import type { Input, Target } from "./target.ts";

export const verdicts = ["ok", "clear", "unclear", "silent", "hang", "memory", "crash"] as const;
export type Verdict = (typeof verdicts)[number];

export interface Judged {
  readonly verdict: Verdict;
  readonly note: string;
}

/** Most seconds of the processor and most memory, in MiB, that an input may take. */
export const most = { seconds: 2, mebibytes: 500 };

export async function judge(target: Target, input: Input): Promise<Judged> {
  try {
    const silent = await target.read(input);
    return silent === undefined ? { verdict: "ok", note: "" } : { verdict: "silent", note: silent };
  } catch (error) {
    if (!(error instanceof Error)) return { verdict: "unclear", note: `it throws ${typeof error}` };
    const why = error instanceof TypeError ? "a TypeError" : unclear(error.message, target.longest);
    return {
      verdict: why === undefined ? "clear" : "unclear",
      note: `${why ? `${why}: ` : ""}${error.message.slice(0, 600)}`,
    };
  }
}
