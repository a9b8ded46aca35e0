// fewstep train, accelerate, sample and evaluate: the functions of the library, with their options as flags.
import { accelerateOptions, accelerateTeacher } from "../../node/accelerate.ts";
import { compare, compareOptions } from "../../node/compare.ts";
import { evaluateModels, evaluateOptions } from "../../node/evaluate.ts";
import { sampleModel, sampleOptions } from "../../node/sample.ts";
import { trainOptions, trainTeacher } from "../../node/train.ts";
import { mayChange } from "../../node/training.ts";
import { command } from "../command.ts";

export const trainCommand = command({
  name: "train",
  summary: "Train a teacher from scratch.",
  positional: [],
  options: trainOptions,
  mayChange,
  together: "ranks",
  run: trainTeacher,
});

export const accelerateCommand = command({
  name: "accelerate",
  summary: "Make a few-step student from a pretrained teacher.",
  positional: ["teacher"],
  options: accelerateOptions,
  mayChange,
  together: "ranks",
  run: accelerateTeacher,
});

export const sampleCommand = command({
  name: "sample",
  summary: "Draw samples of a model.",
  positional: ["model"],
  options: sampleOptions,
  together: "parts",
  run: sampleModel,
});

export const evaluateCommand = command({
  name: "evaluate",
  summary: "Measure models at several numbers of steps.",
  positional: ["models"],
  options: evaluateOptions,
  run: evaluateModels,
});

export const compareCommand = command({
  name: "compare",
  summary: "Train several methods under one budget and measure them alike.",
  positional: ["plan"],
  options: compareOptions,
  run: compare,
});
