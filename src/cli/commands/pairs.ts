// fewstep pairs: the function of the library, with its options as flags.
import { makePairs, pairsOptions } from "../../node/pairs.ts";
import { command } from "../command.ts";

export const pairsCommand = command({
  name: "pairs",
  summary: "Make a teacher's pairs, in parts on any number of machines.",
  positional: ["teacher"],
  options: pairsOptions,
  examples: [
    {
      does: "The first of eight parts, on any machine:",
      line: "pairs assets/mnist-teacher --pairs 4096 --pairs-dir pairs --part 0/8",
    },
    { does: "What is still missing:", line: "pairs assets/mnist-teacher --pairs 4096 --pairs-dir pairs --check" },
  ],
  together: "parts",
  run: makePairs,
});
