// Short texts that users write: an exact teacher's name, a part of some work, what a file says of itself.
import { textOf as pngTexts, withText } from "../../src/data/pngText.ts";
import type { TensorIndex } from "../../src/data/tensorIndex.ts";
import { notesOf } from "../../src/node/delta/open.ts";
import { loadExact } from "../../src/node/exact.ts";
import { launched } from "../../src/node/mpi/launcher.ts";
import { partOf, rangeOf } from "../../src/node/parts.ts";
import * as mutate from "../mutate.ts";
import { difference, ofText, type Target, textOf, utf8 } from "../target.ts";
import { pngs } from "./datasets.ts";

const names = [
  "exact:toy:moons?n=20&width=0.1",
  "exact:toy:8gaussians?n=5&form=linear&prediction=u&classes=false",
  "exact:toy:rings@64?n=12&width=0&form=ve&prediction=x0",
  "exact:toy:spiral?n=3&form=subvp&width=1e-3",
];
const exact = async (): Promise<Target> => ({
  make(rng) {
    const [data, options] = rng.pick(names).slice(6).split("?");
    const query = rng.chance(0.7) ? mutate.text(rng, options) : options;
    return ofText(`exact:${rng.chance(0.4) ? mutate.text(rng, data) : data}?${query}`);
  },
  async read(input) {
    const name = textOf(input);
    const { network, model } = await loadExact(name);
    const query = new Map(
      (name.split("?").at(-1) ?? "").split("&").map((pair): [string, string] => {
        const [key, ...rest] = pair.split("=");
        return [key, rest.join("=")];
      }),
    );
    const config = network.config as { width: number; points: number };
    if (query.has("width") && Number(query.get("width")) !== config.width) return `the width ${config.width}`;
    if (query.has("n") && Number(query.get("n")) !== config.points) return `${config.points} points`;
    const form = query.get("form") ?? "vp";
    return model.form.spec.kind.toLowerCase() === form
      ? undefined
      : `the form ${model.form.spec.kind}, asked for ${form}`;
  },
});

const clusters = [
  { SLURM_ARRAY_TASK_ID: "3", SLURM_ARRAY_TASK_COUNT: "8", SLURM_ARRAY_TASK_MIN: "0", SLURM_ARRAY_TASK_MAX: "7" },
  {
    ...{ SLURM_ARRAY_TASK_ID: "5", SLURM_ARRAY_TASK_COUNT: "3", SLURM_ARRAY_TASK_MIN: "1", SLURM_ARRAY_TASK_MAX: "5" },
    SLURM_ARRAY_TASK_STEP: "2",
  },
  { JOB_COMPLETION_INDEX: "1", JOB_COMPLETIONS: "4" },
  { OMPI_COMM_WORLD_RANK: "1", OMPI_COMM_WORLD_SIZE: "2" },
  { PMI_RANK: "0", PMI_SIZE: "4" },
  { SLURM_PROCID: "1", SLURM_STEP_NUM_TASKS: "2", JOB_COMPLETION_INDEX: "0", JOB_COMPLETIONS: "2" },
];
/** "--part", or the variables of a cluster, one a line. */
const part = async (): Promise<Target> => ({
  make(rng) {
    if (rng.chance(0.4)) return ofText(mutate.text(rng, `--part=${rng.int(9)}/8`));
    const lines = Object.entries(rng.pick(clusters)).map(([name, value]) => {
      const kind = rng.int(8);
      const number = String(mutate.number(rng, Number(value)));
      return `${name}=${kind === 0 ? mutate.string(rng, value) : kind === 1 ? number : value}`;
    });
    return ofText(lines.filter(() => rng.chance(0.95)).join("\n"));
  },
  read(input) {
    const text = textOf(input);
    const flag = text.startsWith("--part=") ? text.slice(7) : undefined;
    const env = Object.fromEntries(
      flag === undefined ? text.split("\n").map((line) => line.split(/=(.*)/s).slice(0, 2)) : [],
    ) as Record<string, string>;
    const group = launched(env);
    if (group && !(group.rank >= 0 && group.rank < group.size)) return `rank ${group.rank} of ${group.size}`;
    const found = partOf(flag, env);
    if (!found) return flag === undefined ? undefined : "a part that is none was left out";
    const { index, count } = found;
    if (!(Number.isSafeInteger(index) && Number.isSafeInteger(count) && index >= 0 && index < count))
      return `part ${index} of ${count}`;
    const { from, n } = rangeOf(found, 100);
    return from >= 0 && n >= 0 && from + n <= 100 ? undefined : `samples from ${from}, ${n} of 100`;
  },
});

/** What a picture was made with. */
const pngText = async (): Promise<Target> => ({
  make(rng) {
    const text = mutate.text(rng, "a cat, 8k\nSteps: 4, Sampler: perflow, Seed: 1, ça 日本");
    const file = withText(rng.pick(pngs), [{ keyword: "parameters", text }]);
    return { file: rng.chance(0.6) ? mutate.bytes(rng, file) : file, said: utf8(text) };
  },
  read({ file }) {
    const found = pngTexts(file);
    if (found.some(({ text, keyword }) => typeof text !== "string" || keyword === "")) return "no text";
    const again = pngTexts(withText(file, found));
    const most = again.filter(({ keyword, text }) => found.some((one) => one.keyword === keyword && one.text === text));
    return most.length >= found.length ? undefined : "a text is lost when it is written again";
  },
});

/** The card in the metadata of a delta. */
const deltaCard = async (): Promise<Target> => {
  const { configs } = await import("./configs.ts");
  const card = await configs.card();
  return {
    make: (rng) => card.make(rng),
    read(input) {
      const text = textOf(input);
      const { card: found } = notesOf({ metadata: { fewstep_card: text }, name: "delta" } as unknown as TensorIndex);
      return difference(found, JSON.parse(text), "the card");
    },
  };
};

export const words = { exact, part, pngText, deltaCard };
