// fewstep train, accelerate, sample and evaluate: the functions of the library, with their options as flags.
import { accelerateTeacher } from "../../node/accelerate.ts";
import { accelerateOptions, helpOf } from "../../node/accelerateOptions.ts";
import { compare, compareOptions } from "../../node/compare.ts";
import { evaluateInParts, evaluateOptions } from "../../node/evaluate.ts";
import { exportModel, exportOptions } from "../../node/export.ts";
import { methodNamed, methods } from "../../node/methods.ts";
import { sampleModel, sampleOptions } from "../../node/sample.ts";
import { trainOptions, trainTeacher } from "../../node/train.ts";
import { mayChange } from "../../node/trainingOptions.ts";
import { command } from "../command.ts";

export const trainCommand = command({
  name: "train",
  summary: "Train a teacher from scratch.",
  positional: [],
  options: trainOptions,
  examples: [
    {
      does: "Points of the plane, for half a minute:",
      line: "train --data toy:moons --form cosine --prediction v --minutes 0.5",
    },
    {
      does: "Digits, flow matching; the same command goes on after a stop:",
      line: "train --data assets/mnist-small --form linear --prediction u --minutes 30 --run runs/digits",
    },
  ],
  mayChange,
  together: "ranks",
  run: trainTeacher,
});

export const accelerateCommand = command({
  name: "accelerate",
  summary: "Make a few-step student from a pretrained teacher.",
  positional: ["teacher"],
  options: accelerateOptions,
  helpFor(args) {
    const at = args.findIndex((arg) => arg === "--method" || arg.startsWith("--method="));
    const name = args[at]?.includes("=") ? args[at].slice("--method=".length) : args[at + 1];
    return at < 0 || name === undefined || !methods.includes(name) ? undefined : helpOf(methodNamed(name));
  },
  examples: [
    { does: "A method's own options and defaults:", line: "accelerate --method perflow --help" },
    {
      does: "Four steps for the digits, in minutes:",
      line: "accelerate assets/mnist-teacher --method perflow --data assets/mnist-small --preset small --minutes 5",
    },
    {
      does: "What it would take, without training:",
      line: "accelerate assets/mnist-teacher --method rectified-diffusion --data assets/mnist-small --dry-run",
    },
  ],
  mayChange,
  together: "ranks",
  run: accelerateTeacher,
});

export const sampleCommand = command({
  name: "sample",
  summary: "Draw samples of a model.",
  positional: ["model"],
  options: sampleOptions,
  examples: [
    { does: "The newest run's samples as a picture:", line: "sample runs --steps 4 --n 64 --out grid.png" },
    {
      does: "Sevens of the digits' teacher, guided, as a picture and as numbers:",
      line: "sample assets/mnist-teacher --steps 50 --n 16 --class 7 --guidance 4 --out sevens.png --save sevens.safetensors",
    },
  ],
  together: "parts",
  run: sampleModel,
});

export const exportCommand = command({
  name: "export",
  summary: "Write a model for other runtimes: ONNX, or a diffusers folder.",
  positional: ["model"],
  options: exportOptions,
  examples: [
    { does: "The sampler in 4 steps as one ONNX file:", line: "export runs --to onnx --steps 4 --out student-onnx" },
    {
      does: "A folder for Python's diffusers:",
      line: "export assets/mnist-teacher --to diffusers --out teacher-diffusers",
    },
  ],
  run: exportModel,
});

export const evaluateCommand = command({
  name: "evaluate",
  summary: "Measure models at several numbers of steps.",
  positional: ["models"],
  together: "parts",
  options: evaluateOptions,
  examples: [
    {
      does: "A student beside its teacher:",
      line: "evaluate runs --teacher assets/mnist-teacher --data assets/mnist-small --steps 4,8 --n 1000",
    },
    {
      does: "Points of the plane, without the measurement of paths:",
      line: "evaluate runs --data toy:moons --steps 1,2,4,8 --path-steps 0",
    },
  ],
  run: evaluateInParts,
});

export const compareCommand = command({
  name: "compare",
  summary: "Train several methods under one budget and measure them alike.",
  positional: ["plan"],
  together: "parts",
  options: compareOptions,
  examples: [
    { does: "What the runs of a plan would cost:", line: "compare plan.json --dry-run" },
    {
      does: "All of them, measured alike; finished runs are not run again:",
      line: "compare plan.json --out comparison",
    },
  ],
  run: compare,
});
