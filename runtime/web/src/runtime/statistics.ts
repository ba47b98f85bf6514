/** Owns the statistics of decoding: counts of one run, memory-bound speed-up, medians and quartiles. */

import type { Round } from "./rounds.js";

/**
 * Counts over drafted rounds (the prompt's own pass left out), under onnxruntime-genai's field names.
 * `draft_tokens_evaluated` are drafts that the target verified: the accepted ones and the first rejected one of a round.
 */
export interface DraftStatistics {
  readonly rounds: number;
  readonly tokens: number;
  readonly draft_tokens_proposed: number;
  readonly draft_tokens_evaluated: number;
  readonly draft_tokens_accepted: number;
}

/** A median with the quartiles around it, as bench results carry it. */
export interface Interval {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

/** Sum the rounds of one or more answers; each answer's first round must be left out by the caller. */
export function countRounds(rounds: readonly Round[]): DraftStatistics {
  return {
    rounds: rounds.length,
    tokens: total(rounds, (round) => round.tokenIds.length),
    draft_tokens_proposed: total(rounds, (round) => round.drafted),
    draft_tokens_evaluated: total(rounds, evaluated),
    draft_tokens_accepted: total(rounds, (round) => round.accepted),
  };
}

/** Return accepted over evaluated drafts; 0 when nothing was drafted. */
export function acceptanceRate(counts: DraftStatistics): number {
  return counts.draft_tokens_evaluated > 0 ? counts.draft_tokens_accepted / counts.draft_tokens_evaluated : 0;
}

/** Return τ: mean tokens per target pass, the target's own included. */
export function blockEfficiency(counts: DraftStatistics): number {
  return counts.rounds > 0 ? counts.tokens / counts.rounds : 0;
}

/** Return MBSU = τ / (c·γ + 1), c the drafter's cost over the target's. Source: VocabTrim, arXiv 2506.22694. */
export function memoryBoundSpeedUp(efficiency: number, costRatio: number, draftLength: number): number {
  return efficiency / (costRatio * draftLength + 1);
}

/** Return the median of `values` with their quartiles. */
export function medianInterval(values: readonly number[]): Interval {
  const sorted = [...values].sort((one, other) => one - other);
  return { median: quantile(sorted, 0.5), low: quantile(sorted, 0.25), high: quantile(sorted, 0.75) };
}

/** Sum `of(item)` over all items. */
export function total<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((sum, item) => sum + of(item), 0);
}

/** Return the value at `share` (0..1) of sorted values, interpolated linearly. */
function quantile(sorted: readonly number[], share: number): number {
  const place = share * (sorted.length - 1);
  const low = sorted[Math.floor(place)] ?? NaN;
  const high = sorted[Math.ceil(place)] ?? NaN;
  return low + (high - low) * (place - Math.floor(place));
}

/** Count the drafts that the target verified; where an answer was cut after an accepted draft, none was rejected. */
function evaluated(round: Round): number {
  return Math.min(round.drafted, round.accepted + (round.tokenIds.length > round.accepted ? 1 : 0));
}
