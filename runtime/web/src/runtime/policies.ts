/** Owns draft policies by name: what a user asks for, made into a policy over one engine's models. */

import type { IndexMap } from "./indexMap.js";
import { Drafter, FixedDrafts, NO_DRAFTS, type DraftPolicy } from "./drafting.js";
import { EdgedraftError, demand } from "./errors.js";
import type { LanguageModel } from "./model.js";
import { NgramDrafts } from "./ngram.js";

/** Who drafts: nobody, the bundle's trimmed drafter, the full-vocabulary one, or a look into the text so far. */
export type Drafts = "none" | "trimmed" | "full" | "ngram";

/** A drafter that is open, and what its ids mean. */
export interface OpenDrafter {
  readonly model: LanguageModel;
  readonly indexMap: IndexMap;
}

/** The drafters that an engine has. */
export interface Drafters {
  readonly trimmed: OpenDrafter;
  readonly full: OpenDrafter | null;
}

/** The policy that `drafts` names, for one answer. */
export function buildPolicy(drafts: Drafts, draftLength: number, drafters: Drafters): DraftPolicy {
  demand(Number.isInteger(draftLength) && draftLength >= 1, "draft length must be at least 1", { got: draftLength });
  if (drafts === "none") return NO_DRAFTS;
  if (drafts === "ngram") return new NgramDrafts(draftLength);
  const { model, indexMap } = drafterOf(drafts, drafters);
  return new FixedDrafts(new Drafter(model, indexMap), draftLength);
}

/** The drafter that `drafts` names. */
export function drafterOf(drafts: "trimmed" | "full", drafters: Drafters): OpenDrafter {
  const found = drafters[drafts];
  if (found !== null) return found;
  const remedy = "start edgedraft phone with the full drafter, and open the engine with it";
  throw new EdgedraftError("the full-vocabulary drafter is not open", { remedy });
}
