// Every command.
import type { Command } from "../command.ts";
import { deltaCommand } from "./delta.ts";
import { doctorCommand } from "./doctor.ts";
import { infoCommand } from "./info.ts";
import { accelerateCommand, compareCommand, evaluateCommand, sampleCommand, trainCommand } from "./verbs.ts";

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
