/** Owns the decoding loop: one `Round` per target pass. The caller stops, times and shows it. */

import { GREEDY, type Sampler, type DraftToken } from "./sampler.js";
import { NO_DRAFTS, type Drafter } from "./drafter.js";
import { FlatLogits, prefill, type LanguageModel, type Logits } from "./model.js";
import type { Round } from "./rounds.js";
import { logProbability } from "./verify.js";

/** Decode by the target alone, one token a pass, until its context is full. */
export function plainRounds(
  target: LanguageModel,
  promptIds: readonly number[],
  sampler: Sampler = GREEDY,
  logProbs = false,
): AsyncGenerator<Round> {
  return speculativeRounds(target, NO_DRAFTS, promptIds, sampler, logProbs);
}

/**
 * Decode by draft-and-verify: the tokens of `plainRounds` (when drawing: their distribution), several in one pass.
 * The target keeps the beginning of the prompt that it has already read. Ends when the target's context is full.
 * May be closed after any round: the models then hold the committed tokens. Source: Leviathan et al. 2023.
 */
export async function* speculativeRounds(
  target: LanguageModel,
  policy: Drafter,
  promptIds: readonly number[],
  sampler: Sampler = GREEDY,
  logProbs = false,
): AsyncGenerator<Round> {
  const committed = [...promptIds];
  const last = await prefill(target, promptIds);
  let round = commit(committed, [], new FlatLogits(last, 1, last.length), sampler, logProbs);
  await policy.begin(promptIds);
  yield round;
  while (committed.length <= target.contextLength) {
    const proposals = await policy.propose(committed, target.contextLength - committed.length, sampler);
    const logits = await target.read([committed.at(-1) as number, ...proposals.map((proposal) => proposal.tokenId)]);
    round = commit(committed, proposals, logits, sampler, logProbs);
    // The target has read every draft; its own last token is read at the beginning of the next pass.
    target.rewind(committed.length - 1);
    policy.observe(round);
    yield round;
  }
}

/** Verify the proposals by one pass, append the tokens it commits to `committed`, and return the round. */
function commit(committed: number[], proposals: readonly DraftToken[], logits: Logits, sampler: Sampler, logProbs: boolean): Round {
  const tokenIds = sampler.verify(proposals, logits, committed);
  committed.push(...tokenIds);
  const round = { tokenIds, drafted: proposals.length, accepted: tokenIds.length - 1 };
  return logProbs ? { ...round, logProbs: tokenIds.map((tokenId, row) => logProbability(logits.row(row), tokenId)) } : round;
}
