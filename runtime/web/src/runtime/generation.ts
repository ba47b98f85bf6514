/** Owns turning endless rounds into one answer: limits, stop strings and text pieces. */

import { demand } from "./errors.js";
import type { Round } from "./rounds.js";
import type { TextStream } from "./textStream.js";

/** The end of an answer: after `maxNewTokens`, or with one of `endTokenIds` (which is kept). */
export interface Limits {
  readonly maxNewTokens: number;
  readonly endTokenIds: readonly number[];
}

/**
 * A piece of the answer; `drafted` is true when its last token was an accepted draft.
 * `tokenIds` are the tokens since the last piece, `logProbs` the target's log-probabilities of them where asked for.
 */
export interface TextPiece {
  readonly text: string;
  readonly drafted: boolean;
  readonly tokenIds: readonly number[];
  readonly logProbs?: readonly number[];
}

/** Yield the rounds of one answer, the last one cut where the answer ends; an aborted `signal` ends it after a round. */
export async function* limited(rounds: AsyncIterable<Round>, limits: Limits, signal?: AbortSignal): AsyncGenerator<Round> {
  demand(limits.maxNewTokens >= 1, "max_new_tokens must be at least 1", { got: limits.maxNewTokens });
  let left = limits.maxNewTokens;
  for await (const round of rounds) {
    const kept = untilEnd(round.tokenIds.slice(0, left), limits.endTokenIds);
    left -= kept.length;
    const logProbs = round.logProbs && { logProbs: round.logProbs.slice(0, kept.length) };
    yield { ...round, tokenIds: kept, accepted: Math.min(round.accepted, kept.length), ...logProbs };
    if (left === 0 || limits.endTokenIds.includes(kept.at(-1) as number) || signal?.aborted) return;
  }
}

/** Stream an answer's text, token by token, ending early when a stop string of `stream` appears. */
export async function* textPieces(rounds: AsyncIterable<Round>, stream: TextStream): AsyncGenerator<TextPiece> {
  let tokenIds: number[] = [];
  let logProbs: number[] = [];
  let drafted = false;
  const piece = (text: string): TextPiece => ({ text, drafted, tokenIds, ...(logProbs.length > 0 && { logProbs }) });
  for await (const round of rounds) {
    for (const [position, tokenId] of round.tokenIds.entries()) {
      const text = stream.push(tokenId);
      tokenIds.push(tokenId);
      logProbs.push(...(round.logProbs?.slice(position, position + 1) ?? []));
      drafted = position < round.accepted;
      if (text !== "" || stream.stopped) {
        yield piece(text);
        [tokenIds, logProbs] = [[], []];
      }
      if (stream.stopped) return;
    }
  }
  const rest = stream.finish();
  if (rest !== "" || tokenIds.length > 0) yield piece(rest);
}

function untilEnd(tokenIds: readonly number[], endTokenIds: readonly number[]): readonly number[] {
  const end = tokenIds.findIndex((tokenId) => endTokenIds.includes(tokenId));
  return end < 0 ? tokenIds : tokenIds.slice(0, end + 1);
}
