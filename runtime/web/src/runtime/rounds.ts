/** Owns `Round`: what one target pass settled. The one record that decoding yields. */

/**
 * One target pass: the tokens it settled, how many drafts it was given and how many of those it kept.
 * The first `accepted` tokens were drafted; the one after them is the target's own, unless the answer was cut.
 * `logProbs` holds the target's log-probability of each token where it was asked for.
 */
export interface Round {
  readonly tokenIds: readonly number[];
  readonly proposed: number;
  readonly accepted: number;
  readonly logProbs?: readonly number[];
}
