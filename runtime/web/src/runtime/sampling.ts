/**
 * Owns the maths of sampling and of lossless acceptance, on arrays alone.
 *
 * A draft drawn from any distribution q is accepted with probability min(1, p/q), and a rejected one is replaced by a
 * draw from norm((p - q)+): the result follows p, the target's own distribution, even where q is 0 because the drafter
 * has no row. Source: Leviathan et al. 2023, arXiv 2211.17192, algorithm 1.
 */

import { demand } from "./errors.js";
import type { Random } from "./random.js";
import { shown } from "./records.js";
import { largest } from "./verify.js";

/** A distribution over a vocabulary; sums to 1. */
export type Probabilities = Float64Array;

/**
 * Settings for drawing tokens; the meaning and the order of the steps are those of transformers' `generate`.
 * `temperature` 0 takes the best token. `topK` 0, `topP` 1, `minP` 0 and `repetitionPenalty` 1 switch the step off.
 * `logitBias` adds to the logits of target token ids; -Infinity forbids one.
 */
export interface SamplingSettings {
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  readonly logitBias?: Readonly<Record<number, number>>;
}

/** Complete, checked settings. */
export interface Sampling {
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly repetitionPenalty: number;
  readonly logitBias: ReadonlyMap<number, number>;
}

const COLDEST = 0.0001;

/** Fill in the defaults of `settings`; throws `EdgedraftError` for numbers without a meaning. */
export function checkedSampling(settings: SamplingSettings): Sampling {
  const { temperature = 1, topK = 0, topP = 1, minP = 0, repetitionPenalty = 1, logitBias = {} } = settings;
  const warm = temperature === 0 || (temperature >= COLDEST && temperature < Infinity);
  demand(warm, `temperature must be 0, or ${COLDEST} or more`, { got: shown(temperature) });
  demand(Number.isInteger(topK) && topK >= 0, "top_k must be 0 or more", { got: topK });
  demand(topP > 0 && topP <= 1, "top_p must lie above 0 and up to 1", { got: topP });
  demand(minP >= 0 && minP <= 1, "min_p must lie in 0..1", { got: minP });
  demand(repetitionPenalty > 0, "repetition_penalty must be above 0", { got: repetitionPenalty });
  const biases = new Map(Object.entries(logitBias).map(([tokenId, bias]) => [Number(tokenId), bias]));
  for (const [tokenId, bias] of biases) demand(bias < Infinity, `logit_bias: token ${tokenId}: expected a number or -inf`, { got: shown(bias) });
  return { temperature, topK, topP, minP, repetitionPenalty, logitBias: biases };
}

/** Return whether logits depend on tokens seen, beyond the model itself. */
export function readsContext(settings: Sampling): boolean {
  return settings.repetitionPenalty !== 1;
}

/** Return the distribution of one row of adjusted logits. */
export function probabilities(logits: Float32Array, settings: Sampling): Probabilities {
  const scores = Float64Array.from(logits);
  if (settings.temperature === 0) return certain(firstBest(scores), scores.length);
  for (let id = 0; id < scores.length; id += 1) scores[id] = (scores[id] as number) / settings.temperature;
  if (settings.topK > 0 && settings.topK < scores.length) keepBest(scores, settings.topK);
  const drawn = softmax(scores);
  if (settings.topP < 1) keepNucleus(drawn, settings.topP);
  if (settings.minP > 0) dropBelow(drawn, settings.minP * largest(drawn));
  return normalised(drawn);
}

/** Apply the repetition penalty on `seenIds` and the bias to logits; ids index this row. */
export function adjusted(
  logits: Float32Array,
  settings: Sampling,
  seenIds: readonly number[],
  biases: ReadonlyMap<number, number>,
): Float32Array {
  if (seenIds.length === 0 && biases.size === 0) return logits;
  const scores = logits.slice();
  const penalty = Math.fround(settings.repetitionPenalty); // float32, as logits are: Python rounds at the same places
  for (const id of seenIds) {
    const score = scores[id] as number;
    scores[id] = score < 0 ? score * penalty : score / penalty;
  }
  for (const [id, bias] of biases) scores[id] = (scores[id] as number) + Math.fround(bias);
  demand(Number.isFinite(largest(scores)), "logit_bias must leave a token to choose", { got: "none" });
  return scores;
}

/** Draw one token, never one of probability 0. */
export function draw(distribution: Probabilities, random: Random): number {
  let total = 0;
  for (const share of distribution) total += share;
  const mark = random() * total;
  let sum = 0;
  let last = -1;
  for (let id = 0; id < distribution.length; id += 1) {
    const share = distribution[id] as number;
    if (share > 0) last = id;
    sum += share;
    if (sum > mark) return id;
  }
  return last; // rounding may leave the sum just below the mark
}

/** Return norm((p - q)+), which replaces a rejected draft; p itself where rounding leaves nothing. */
export function residual(byTarget: Probabilities, byDrafter: Probabilities): Probabilities {
  const rest = byTarget.map((share, id) => Math.max(share - (byDrafter[id] as number), 0));
  return rest.some((share) => share > 0) ? normalised(rest) : byTarget;
}

/** Decide whether a draft drawn from `byDrafter` is kept: with probability min(1, p/q). */
export function keeps(draftId: number, byTarget: Probabilities, byDrafter: Probabilities, random: Random): boolean {
  return random() * (byDrafter[draftId] as number) < (byTarget[draftId] as number); // random() < p/q without dividing
}

/**
 * Verify drafts: return the accepted ones, then one token of the target's own.
 * `byDrafter` has one distribution for each draft, null for a draft by lookup (all its probability is on that token);
 * `byTarget(position)` returns the target's distributions, of which there is one more.
 */
export function verifyDraws(
  draftIds: readonly number[],
  byDrafter: readonly (Probabilities | null)[],
  byTarget: (position: number) => Probabilities,
  random: Random,
): number[] {
  for (const [position, draftId] of draftIds.entries()) {
    const target = byTarget(position);
    const drafter = byDrafter[position] ?? certain(draftId, target.length);
    if (keeps(draftId, target, drafter, random)) continue;
    return [...draftIds.slice(0, position), draw(residual(target, drafter), random)];
  }
  return [...draftIds, draw(byTarget(draftIds.length), random)];
}

/** Return the distribution that always draws `tokenId`. */
function certain(tokenId: number, vocabSize: number): Probabilities {
  const one = new Float64Array(vocabSize);
  one[tokenId] = 1;
  return one;
}

function firstBest(scores: Float64Array): number {
  return scores.indexOf(largest(scores));
}

function softmax(scores: Float64Array): Probabilities {
  const top = largest(scores);
  return normalised(scores.map((score) => Math.exp(score - top)));
}

function normalised(weights: Float64Array): Probabilities {
  let total = 0;
  for (const weight of weights) total += weight;
  return weights.map((weight) => weight / total);
}

/** Remove all scores below the `count`-th best; scores equal to it stay. */
function keepBest(scores: Float64Array, count: number): void {
  const worst = Float64Array.from(scores).sort()[scores.length - count] as number;
  for (let id = 0; id < scores.length; id += 1) if ((scores[id] as number) < worst) scores[id] = -Infinity;
}

function dropBelow(drawn: Probabilities, least: number): void {
  for (let id = 0; id < drawn.length; id += 1) if ((drawn[id] as number) < least) drawn[id] = 0;
}

/** Keep the fewest most likely tokens whose probabilities reach `topP`; of equal ones, the smaller ids. */
function keepNucleus(drawn: Probabilities, topP: number): void {
  const kept = new Float64Array(drawn.length);
  let reached = 0;
  for (const id of mostLikely(drawn, topP)) {
    if (reached >= topP) break;
    kept[id] = drawn[id] as number;
    reached += drawn[id] as number;
  }
  drawn.set(kept);
}

/** List ids by falling probability, at least until they reach `share` together; sorting all would take longer than a pass. */
function mostLikely(drawn: Probabilities, share: number): number[] {
  let least = largest(drawn) / 16;
  for (;;) {
    const ids: number[] = [];
    let sum = 0;
    for (let id = 0; id < drawn.length; id += 1) {
      const own = drawn[id] as number;
      if (own < least || own === 0) continue;
      ids.push(id);
      sum += own;
    }
    if (sum >= share || least < 1e-300) return ids.sort((one, other) => (drawn[other] as number) - (drawn[one] as number) || one - other);
    least /= 16;
  }
}
