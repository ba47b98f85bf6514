/** Owns the decoding loop: one `Round` per target pass; stopping, timing and showing are the caller's. */

import { GREEDY, type Chooser, type Proposal } from "./chooser.js";
import { NO_DRAFTS, type DraftPolicy } from "./drafting.js";
import { FlatLogits, prefill, type LanguageModel, type Logits } from "./model.js";
import type { Round } from "./rounds.js";
import { logProbability } from "./verify.js";

/** Decoding by the target alone, one token a pass, until its context is full. */
export function plainRounds(
  target: LanguageModel,
  promptIds: readonly number[],
  chooser: Chooser = GREEDY,
  logProbs = false,
): AsyncGenerator<Round> {
  return speculativeRounds(target, NO_DRAFTS, promptIds, chooser, logProbs);
}

/**
 * Draft-and-verify: what `plainRounds` would settle (by drawing: in distribution), several tokens a pass.
 * The target keeps the beginning of the prompt that its memory already holds. Ends when the target's context is full.
 * May be closed at any round: the memories then hold what was settled. Source: Leviathan et al. 2023.
 */
export async function* speculativeRounds(
  target: LanguageModel,
  policy: DraftPolicy,
  promptIds: readonly number[],
  chooser: Chooser = GREEDY,
  logProbs = false,
): AsyncGenerator<Round> {
  const settled = [...promptIds];
  const last = await prefill(target, promptIds);
  let turn = settle(settled, [], new FlatLogits(last, 1, last.length), chooser, logProbs);
  await policy.begin(promptIds);
  yield turn;
  while (settled.length <= target.contextLength) {
    const proposals = await policy.propose(settled, target.contextLength - settled.length, chooser);
    const logits = await target.read([settled.at(-1) as number, ...proposals.map((proposal) => proposal.tokenId)]);
    turn = settle(settled, proposals, logits, chooser, logProbs);
    target.rewind(settled.length - 1);
    policy.learn(turn);
    yield turn;
  }
}

/** Append what this pass settles to `settled` and say what it was. */
function settle(settled: number[], proposals: readonly Proposal[], logits: Logits, chooser: Chooser, logProbs: boolean): Round {
  const kept = chooser.settle(proposals, logits, settled);
  settled.push(...kept);
  const turn = { tokenIds: kept, proposed: proposals.length, accepted: kept.length - 1 };
  return logProbs ? { ...turn, logProbs: kept.map((tokenId, row) => logProbability(logits.row(row), tokenId)) } : turn;
}
