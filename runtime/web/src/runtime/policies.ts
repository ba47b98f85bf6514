/** Owns draft policies by name, and building the named policy over one engine's models. */

import type { IndexMap } from "./indexMap.js";
import { DraftModel, FixedDrafts, NO_DRAFTS, type Drafter } from "./drafter.js";
import { EdgedraftError, demand } from "./errors.js";
import type { LanguageModel } from "./model.js";
import { NgramDrafts } from "./ngram.js";

/** The policies by name, some of Python's: no drafts, drafts of a fixed length, and drafts by lookup in the text. */
export const POLICIES = ["plain", "fixed", "ngram"] as const;
export type Policy = (typeof POLICIES)[number];

/** An open drafter model, and the map from its ids to the target's. */
export interface OpenDrafter {
  readonly model: LanguageModel;
  readonly indexMap: IndexMap;
}

/** The open drafters of an engine. */
export interface Drafters {
  readonly trimmed: OpenDrafter;
  readonly full: OpenDrafter | null;
}

/** A policy by name, with its parameters; `drafter` is the trimmed one where it is left out. */
export interface PolicyChoice {
  readonly name: Policy;
  readonly draftLength: number;
  readonly drafter?: keyof Drafters;
}

/** Build the policy that a choice names, for one answer. */
export function buildPolicy({ name, draftLength, drafter = "trimmed" }: PolicyChoice, drafters: Drafters): Drafter {
  demand(POLICIES.includes(name), `policy: expected one of ${POLICIES.join(", ")}`, { got: name });
  demand(Number.isInteger(draftLength) && draftLength >= 1, "draft length must be at least 1", { got: draftLength });
  if (name === "plain") return NO_DRAFTS;
  if (name === "ngram") return new NgramDrafts(draftLength);
  const { model, indexMap } = drafterOf(drafter, drafters);
  return new FixedDrafts(new DraftModel(model, indexMap), draftLength);
}

/** Return the drafter called `name`. */
export function drafterOf(name: keyof Drafters, drafters: Drafters): OpenDrafter {
  const drafter = drafters[name];
  if (drafter !== null) return drafter;
  const remedy = "start edgedraft phone with the full drafter, and open the engine with it";
  throw new EdgedraftError("the full-vocabulary drafter is not open", { remedy });
}
