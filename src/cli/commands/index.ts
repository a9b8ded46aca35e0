// Every command.
import type { Command } from "../command.ts";
import { deltaCommand } from "./delta.ts";
import { doctorCommand } from "./doctor.ts";
import { generateCommand } from "./generate.ts";
import { infoCommand } from "./info.ts";
import { accelerateCommand, evaluateCommand, exportCommand, sampleCommand, trainCommand } from "./verbs.ts";

export const commands: readonly Command[] = [
  trainCommand,
  accelerateCommand,
  sampleCommand,
  evaluateCommand,
  generateCommand,
  deltaCommand,
  exportCommand,
  infoCommand,
  doctorCommand,
];
