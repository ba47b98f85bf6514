/** Owns `Round`: the tokens that one target pass commits. It is the one record that decoding yields. */

/**
 * One target pass: the tokens it committed, the number of drafts and the number accepted.
 * The first `accepted` tokens were drafted; the one after them is the target's own, unless the answer was cut.
 * `logProbs` holds the target's log-probability of each token where it was asked for.
 */
export interface Round {
  readonly tokenIds: readonly number[];
  readonly drafted: number;
  readonly accepted: number;
  readonly logProbs?: readonly number[];
}
