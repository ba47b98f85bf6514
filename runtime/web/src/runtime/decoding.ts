/** Owns the decoding loop: one `Round` per target pass. The caller stops, times and shows it. */

import { GREEDY, type Chooser, type Proposal } from "./chooser.js";
import { NO_DRAFTS, type DraftPolicy } from "./drafting.js";
import { FlatLogits, prefill, type LanguageModel, type Logits } from "./model.js";
import type { Round } from "./rounds.js";
import { logProbability } from "./verify.js";

/** Decode by the target alone, one token a pass, until its context is full. */
export function plainRounds(
  target: LanguageModel,
  promptIds: readonly number[],
  chooser: Chooser = GREEDY,
  logProbs = false,
): AsyncGenerator<Round> {
  return speculativeRounds(target, NO_DRAFTS, promptIds, chooser, logProbs);
}

/**
 * Decode by draft-and-verify: the tokens of `plainRounds` (when drawing: their distribution), several in one pass.
 * The target keeps the beginning of the prompt that it has already read. Ends when the target's context is full.
 * May be closed after any round: the models then hold the committed tokens. Source: Leviathan et al. 2023.
 */
export async function* speculativeRounds(
  target: LanguageModel,
  policy: DraftPolicy,
  promptIds: readonly number[],
  chooser: Chooser = GREEDY,
  logProbs = false,
): AsyncGenerator<Round> {
  const committed = [...promptIds];
  const last = await prefill(target, promptIds);
  let round = commit(committed, [], new FlatLogits(last, 1, last.length), chooser, logProbs);
  await policy.begin(promptIds);
  yield round;
  while (committed.length <= target.contextLength) {
    const proposals = await policy.propose(committed, target.contextLength - committed.length, chooser);
    const logits = await target.read([committed.at(-1) as number, ...proposals.map((proposal) => proposal.tokenId)]);
    round = commit(committed, proposals, logits, chooser, logProbs);
    // The target has read every draft; its own last token is read at the beginning of the next pass.
    target.rewind(committed.length - 1);
    policy.learn(round);
    yield round;
  }
}

/** Verify the proposals by one pass, append the tokens it commits to `committed`, and return the round. */
function commit(committed: number[], proposals: readonly Proposal[], logits: Logits, chooser: Chooser, logProbs: boolean): Round {
  const tokenIds = chooser.settle(proposals, logits, committed);
  committed.push(...tokenIds);
  const round = { tokenIds, proposed: proposals.length, accepted: tokenIds.length - 1 };
  return logProbs ? { ...round, logProbs: tokenIds.map((tokenId, row) => logProbability(logits.row(row), tokenId)) } : round;
}
