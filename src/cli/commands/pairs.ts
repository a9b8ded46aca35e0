// fewstep pairs: the function of the library, with its options as flags.
import { makePairs, pairsOptions } from "../../node/pairs.ts";
import { command } from "../command.ts";

export const pairsCommand = command({
  name: "pairs",
  summary: "Make a teacher's pairs, in parts on any number of machines.",
  positional: ["teacher"],
  options: pairsOptions,
  together: "parts",
  run: makePairs,
});
