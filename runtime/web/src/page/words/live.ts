/** Owns the figures of an answer while it is written: speed, acceptance, block efficiency. */

import type { Round } from "../../runtime/index.js";

/**
 * The counts of one answer. The first round comes from reading the prompt: it starts the time of decoding (`firstAt`)
 * and counts for nothing else. Times are seconds of one clock.
 */
export interface Counts {
  readonly startedAt: number;
  readonly firstAt: number | null;
  readonly lastAt: number;
  readonly tokens: number;
  readonly passes: number;
  readonly drafted: number;
  readonly examined: number;
  readonly accepted: number;
}

export const NO_COUNTS: Counts = begin(0);

/** Return the counts of an answer that was requested at `now`. */
export function begin(now: number): Counts {
  return { startedAt: now, firstAt: null, lastAt: now, tokens: 0, passes: 0, drafted: 0, examined: 0, accepted: 0 };
}

/** Add one round, committed at `now`, to the counts. */
export function addRound(counts: Counts, round: Round, now: number): Counts {
  if (counts.firstAt === null) return { ...counts, firstAt: now, lastAt: now };
  return {
    ...counts,
    lastAt: now,
    tokens: counts.tokens + round.tokenIds.length,
    passes: counts.passes + 1,
    drafted: counts.drafted + round.drafted,
    // An answer cut after an accepted draft has no rejected one.
    examined: counts.examined + Math.min(round.drafted, round.accepted + (round.tokenIds.length > round.accepted ? 1 : 0)),
    accepted: counts.accepted + round.accepted,
  };
}

/** Figures of an answer; null where nothing was counted yet. */
export interface Figures {
  readonly tokensPerSecond: number | null;
  readonly acceptanceRate: number | null;
  readonly blockEfficiency: number | null;
  readonly firstSeconds: number | null;
}

/** Compute tokens per second of decoding, acceptance rate, block efficiency, and the wait for the first token. */
export function figures(counts: Counts): Figures {
  const { firstAt, lastAt, startedAt, tokens, passes, examined, accepted } = counts;
  const decoding = firstAt === null ? 0 : lastAt - firstAt;
  return {
    tokensPerSecond: decoding > 0 ? tokens / decoding : null,
    acceptanceRate: examined > 0 ? accepted / examined : null,
    blockEfficiency: passes > 0 ? tokens / passes : null,
    firstSeconds: firstAt === null ? null : firstAt - startedAt,
  };
}
