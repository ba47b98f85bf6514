/** Owns the words and the options of a plan that was tuned on this device. */

import { LONGEST_DRAFT, type DecodingPlan } from "../../runtime/index.js";
import type { Tuned } from "../ports.js";
import type { ChatOptions, Drafts, Loaded, Problem } from "../state.js";
import { plural, times, twoDigits } from "./format.js";

/** The source of drafts that a plan names. */
function draftsOf({ policy }: DecodingPlan): Drafts {
  return policy === "ngram" ? "ngram" : "trimmed";
}

/** Return the chat's options by what was tuned; none where nothing was. */
export function tunedOptions(tuned: Tuned | Problem | null): Partial<ChatOptions> {
  if (tuned === null || !("plan" in tuned)) return {};
  const { plan } = tuned;
  return { drafts: plan.speculate ? draftsOf(plan) : "none", draftLength: Math.min(plan.draft_length, LONGEST_DRAFT) };
}

/** Say in one line what was chosen on this device, or why nothing was; null where nothing was to be. */
export function tunedSentence(tuned: Tuned | Problem | null): string | null {
  if (tuned === null) return null;
  if (!("plan" in tuned)) return `Not tuned on this device (${tuned.rule}): the bundle's own plan is used.`;
  const { plan, kept } = tuned;
  const gain = times(plan.predicted_tokens_per_second / plan.predicted_plain_tokens_per_second);
  const reached = `${gain} [${twoDigits(plan.speed_up_low)}–${twoDigits(plan.speed_up_high)}] the target's own speed`;
  const by = draftsOf(plan) === "ngram" ? "n-gram lookup" : "the trimmed drafter";
  const chosen = plan.speculate
    ? `${plural(plan.draft_length, "draft")} a round by ${by}, expected to reach ${reached}`
    : `do not speculate; drafting is expected to reach ${reached}`;
  return `Tuned on this device: ${chosen}.${kept ? "" : " This browser keeps nothing: the next visit tunes again."}`;
}

/** Return the plan whose figures the chat's options can be held against, or null. */
export function comparablePlan(own: DecodingPlan, provider: string, { tuned, providers }: Loaded, options: ChatOptions): { plan: DecodingPlan; speed: boolean } | null {
  const here = tuned !== null && "plan" in tuned;
  const plan = here ? tuned.plan : own;
  const asPlanned = options.drafts === (here ? draftsOf(plan) : "trimmed") && options.draftLength === plan.draft_length;
  return asPlanned ? { plan, speed: here || providers.target === provider } : null;
}
