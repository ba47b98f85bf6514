/** Owns `Limits`: where an answer ends. */

import { demand } from "./errors.js";
import type { Round } from "./rounds.js";

/** An answer ends after `maxNewTokens`, or with one of `endTokenIds`, which is kept. */
export interface Limits {
  readonly maxNewTokens: number;
  readonly endTokenIds: readonly number[];
}

/** Yield the rounds of one answer, the last one cut where the answer ends; an aborted `signal` ends it after a round. */
export async function* limited(rounds: AsyncIterable<Round>, limits: Limits, signal?: AbortSignal): AsyncGenerator<Round> {
  demand(limits.maxNewTokens >= 1, "max_new_tokens must be at least 1", { got: limits.maxNewTokens });
  let maxTokens = limits.maxNewTokens;
  for await (const round of rounds) {
    const kept = untilEnd(round.tokenIds.slice(0, maxTokens), limits.endTokenIds);
    maxTokens -= kept.length;
    const logProbs = round.logProbs && { logProbs: round.logProbs.slice(0, kept.length) };
    yield { ...round, tokenIds: kept, accepted: Math.min(round.accepted, kept.length), ...logProbs };
    if (maxTokens === 0 || limits.endTokenIds.includes(kept.at(-1) as number) || signal?.aborted) return;
  }
}

function untilEnd(tokenIds: readonly number[], endTokenIds: readonly number[]): readonly number[] {
  const end = tokenIds.findIndex((tokenId) => endTokenIds.includes(tokenId));
  return end < 0 ? tokenIds : tokenIds.slice(0, end + 1);
}
