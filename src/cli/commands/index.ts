// Every command.
import type { Command } from "../command.ts";
import { deltaCommand } from "./delta.ts";
import { doctorCommand } from "./doctor.ts";
import { generateCommand } from "./generate.ts";
import { infoCommand } from "./info.ts";
import { pairsCommand } from "./pairs.ts";
import { studioCommand } from "./studio.ts";
import {
  accelerateCommand,
  compareCommand,
  evaluateCommand,
  exportCommand,
  sampleCommand,
  trainCommand,
} from "./verbs.ts";

export const commands: readonly Command[] = [
  trainCommand,
  accelerateCommand,
  pairsCommand,
  sampleCommand,
  evaluateCommand,
  compareCommand,
  generateCommand,
  deltaCommand,
  exportCommand,
  studioCommand,
  infoCommand,
  doctorCommand,
];
