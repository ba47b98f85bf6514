/** Owns `Round`: what one target pass gave. It is the one record that decoding yields. */

/**
 * One target pass: the tokens it committed, the number of drafts and the number accepted.
 * The first `accepted` tokens were drafted; the one after them is the target's own, unless the answer was cut.
 * `logProbs` holds the target's log-probability of each token where it was asked for.
 * `targetSeconds` and `drafterSeconds` are those of the models' passes alone, on the clock that the loop was given (0
 * without one); an answer's first round has those of the prompt.
 */
export interface Round {
  readonly tokenIds: readonly number[];
  readonly drafted: number;
  readonly accepted: number;
  readonly logProbs?: readonly number[];
  readonly targetSeconds: number;
  readonly drafterSeconds: number;
}
