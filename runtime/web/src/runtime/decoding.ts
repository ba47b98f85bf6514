/** Owns the decoding loop: one `Round` per target pass. The caller stops it and shows what comes. */

import { GreedyVerifier, RandomVerifier, type Verifier } from "./acceptance.js";
import { EMPTY_DRAFT, NO_DRAFTS, type Draft, type Drafter } from "./drafter.js";
import { FlatLogits, prefill, stoppedClock, type Clock, type LanguageModel, type Logits } from "./model.js";
import type { Random } from "./random.js";
import type { Round } from "./rounds.js";
import { GreedySampler, RandomSampler, type Sampler } from "./sampler.js";
import type { Sampling } from "./sampling.js";
import { logProbability } from "./verify.js";

/** The way tokens are chosen: `sampler` draws drafts, `verifier` judges them, for one answer at a time. */
export interface DecodingMethod {
  readonly sampler: Sampler;
  readonly verifier: Verifier;
}

/** The best token, always. */
export const GREEDY: DecodingMethod = { sampler: new GreedySampler(), verifier: new GreedyVerifier() };

/** Return the method that draws by `settings`, all its random numbers from `random`. */
export function sampled(settings: Sampling, random: Random): DecodingMethod {
  return { sampler: new RandomSampler(settings, random), verifier: new RandomVerifier(settings, random) };
}

/** `logProbs` asks for the target's log-probabilities; `clock` times the passes, and stands still where it is left out. */
export interface RoundOptions {
  readonly logProbs?: boolean | undefined;
  readonly clock?: Clock;
}

/** Decode by the target alone, one token a pass, until its context is full. */
export function plainRounds(
  target: LanguageModel,
  promptIds: readonly number[],
  method: DecodingMethod = GREEDY,
  options: RoundOptions = {},
): AsyncGenerator<Round> {
  return speculativeRounds(target, NO_DRAFTS, promptIds, method, options);
}

/**
 * Draft and verify: commit what `plainRounds` would (by drawing: in distribution), several tokens a pass.
 * The target keeps the beginning of the prompt that it has already read. Ends when the target's context is full.
 * May be closed after any round: the models then hold the committed tokens. Source: Leviathan et al. 2023.
 */
export async function* speculativeRounds(
  target: LanguageModel,
  drafter: Drafter,
  promptIds: readonly number[],
  { sampler, verifier }: DecodingMethod = GREEDY,
  { logProbs = false, clock = stoppedClock }: RoundOptions = {},
): AsyncGenerator<Round> {
  const committed = [...promptIds];
  let started = clock();
  const last = await prefill(target, promptIds);
  const first = commit(committed, EMPTY_DRAFT, new FlatLogits(last, 1, last.length), verifier, clock() - started, logProbs);
  started = clock();
  await drafter.begin(promptIds);
  yield { ...first, drafterSeconds: clock() - started };
  while (committed.length <= target.contextLength) {
    const draft = await drafter.propose(committed, target.contextLength - committed.length, sampler);
    started = clock();
    const { logits } = await target.read([committed.at(-1) as number, ...draft.tokens.map((token) => token.tokenId)]);
    const round = commit(committed, draft, logits, verifier, clock() - started, logProbs);
    // The last committed token is the target's own choice: no pass has read it yet.
    target.rewind(committed.length - 1);
    drafter.rewind(committed.length - 1);
    drafter.observe(round);
    yield round;
  }
}

/** Append what this pass gives to `committed` and return it. */
function commit(
  committed: number[],
  draft: Draft,
  logits: Logits,
  verifier: Verifier,
  targetSeconds: number,
  logProbs: boolean,
): Round {
  const tokenIds = verifier.verify(draft.tokens, logits, committed);
  committed.push(...tokenIds);
  return {
    tokenIds,
    drafted: draft.tokens.length,
    accepted: tokenIds.length - 1,
    ...(logProbs && { logProbs: tokenIds.map((tokenId, row) => logProbability(logits.row(row), tokenId)) }),
    targetSeconds,
    drafterSeconds: draft.seconds,
  };
}
