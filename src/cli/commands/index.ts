// Every command.
import type { Command } from "../command.ts";
import { accelerateCommand } from "./accelerate.ts";
import { compareCommand } from "./compare.ts";
import { deltaCommand } from "./delta.ts";
import { doctorCommand } from "./doctor.ts";
import { evaluateCommand } from "./evaluate.ts";
import { infoCommand } from "./info.ts";
import { sampleCommand } from "./sample.ts";
import { trainCommand } from "./train.ts";

export const commands: readonly Command[] = [
  trainCommand,
  accelerateCommand,
  sampleCommand,
  evaluateCommand,
  compareCommand,
  deltaCommand,
  infoCommand,
  doctorCommand,
];
