// What the card of a student says: its teacher, its method with all options, how far it has come.
import type { Dataset } from "../data/dataset.ts";
import type { Stage } from "../recipes/recipe.ts";
import { CARD_FORMAT, type Card, describeModel } from "../run/card.ts";
import type { Done } from "../run/job.ts";
import { version } from "../version.ts";
import type { Context } from "./context.ts";
import type { AnyRecipe } from "./methods.ts";
import type { LoadedModel } from "./models.ts";
import { toConfig } from "./options.ts";
import { lastPart } from "./runDir.ts";

export interface CardParts {
  readonly loaded: LoadedModel;
  readonly data?: Dataset;
  readonly dataName: string;
  readonly guidance: number;
  readonly options: Readonly<Record<string, unknown>>;
}

/** The card of a student, as far as it has come. */
export function cardOf(recipe: AnyRecipe, { loaded, data, dataName, guidance, options }: CardParts, { seed }: Context) {
  const { perImage } = recipe.teacherNfe(options);
  return (stage: Stage, done: Done, stored: Readonly<Record<string, unknown>>): Card => ({
    format: CARD_FORMAT,
    library: version,
    ...describeModel(stage),
    sampler: stage.sampler,
    guidance: { convention: "null + g*(cond - null)", baked: guidance },
    recipe: {
      method: recipe.name,
      options: toConfig({
        ...stored,
        out: undefined,
        pairsDir: undefined,
        cacheDir: undefined,
        previewPrompts: undefined,
        teacher: loaded.name,
        data: data && lastPart(dataName),
      }),
    },
    base: loaded.hash,
    imagesSeen: done.images,
    teacherNfe: Math.round(done.images * perImage + done.stages.reduce((n, s) => n + s.pairNfe, 0)),
    seed,
  });
}
