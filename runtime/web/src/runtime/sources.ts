/** Owns the sources of draft tokens that are models. */

import { demand } from "./errors.js";
import type { IndexMap } from "./indexMap.js";
import { catchUp, prefill, type LanguageModel } from "./model.js";
import { TokenSource, type TokenOffer } from "./tokenDrafter.js";

/** A model that reads the text itself; `indexMap` gives what its ids mean to the target. */
export class ModelTokenSource extends TokenSource {
  constructor(
    private readonly model: LanguageModel,
    private readonly indexMap: IndexMap,
  ) {
    super();
  }

  /** Read the prompt, unless it is longer than the memory: nothing can be drafted then. */
  override async begin(promptIds: readonly number[]): Promise<void> {
    if (promptIds.length <= this.model.contextLength) await prefill(this.model, promptIds);
  }

  /** The last draft need not be read, so one token more than fits can be drafted. */
  override offers(contextIds: readonly number[]): readonly TokenOffer[] {
    if (contextIds.length > this.model.contextLength) return [];
    return [{ ask: () => catchUp(this.model, contextIds), indexMap: this.indexMap }];
  }

  override rewind(length: number): void {
    this.model.rewind(Math.min(this.model.length, length));
  }
}

/** The drafter models of an engine: the bundle's trimmed one, and the full-vocabulary one where it is open. */
export interface Drafters {
  readonly trimmed: ModelTokenSource;
  readonly full: ModelTokenSource | null;
}

/** Return the drafter called `name`. */
export function drafterOf(name: keyof Drafters, drafters: Drafters): ModelTokenSource {
  const drafter = drafters[name];
  const remedy = "start edgedraft phone with the full drafter, and open the engine with it";
  demand(drafter !== null, "the full-vocabulary drafter is not open", { remedy });
  return drafter;
}
