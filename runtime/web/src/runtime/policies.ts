/** Owns draft policies by name: what a user asks for, made into a policy over one engine's models. */

import type { IndexMap } from "./indexMap.js";
import { Drafter, FixedDrafts, NO_DRAFTS, type DraftPolicy } from "./drafting.js";
import { EdgedraftError, demand } from "./errors.js";
import type { LanguageModel } from "./model.js";
import { NgramDrafts } from "./ngram.js";

/** Draft policies by name, a part of Python's: no drafts, drafts of a fixed length, drafts looked up in the text. */
export const POLICIES = ["plain", "fixed", "ngram"] as const;
export type Policy = (typeof POLICIES)[number];

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

/** A policy by name, with what some of them take; `drafter` is the trimmed one where it is left out. */
export interface PolicyChoice {
  readonly name: Policy;
  readonly draftLength: number;
  readonly drafter?: keyof Drafters;
}

/** The policy that `choice` names, for one answer. */
export function buildPolicy({ name, draftLength, drafter = "trimmed" }: PolicyChoice, drafters: Drafters): DraftPolicy {
  demand(POLICIES.includes(name), `policy: expected one of ${POLICIES.join(", ")}`, { got: name });
  demand(Number.isInteger(draftLength) && draftLength >= 1, "draft length must be at least 1", { got: draftLength });
  if (name === "plain") return NO_DRAFTS;
  if (name === "ngram") return new NgramDrafts(draftLength);
  const { model, indexMap } = drafterOf(drafter, drafters);
  return new FixedDrafts(new Drafter(model, indexMap), draftLength);
}

/** The drafter that `name` names. */
export function drafterOf(name: keyof Drafters, drafters: Drafters): OpenDrafter {
  const found = drafters[name];
  if (found !== null) return found;
  const remedy = "start edgedraft phone with the full drafter, and open the engine with it";
  throw new EdgedraftError("the full-vocabulary drafter is not open", { remedy });
}
