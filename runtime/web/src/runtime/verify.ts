/** Owns the maths of greedy draft-and-verify, on arrays only. */

import { demand } from "./errors.js";

/** Return the arg-max of one row of logits; ties go to the smaller id. Refuses rows whose best logit is not finite. */
export function greedyChoice(row: Float32Array, by = "the model"): number {
  let best = -1;
  let value = -Infinity;
  let finite = true;
  for (let id = 0; id < row.length; id += 1) {
    const score = row[id] as number;
    if (score > value) {
      value = score;
      best = id;
    } else if (score !== score) finite = false; // only NaN differs from itself
  }
  requireFinite(finite && best >= 0 && Number.isFinite(value), by);
  return best;
}

/** Refuse logits that are not numbers. */
export function requireFinite(finite: boolean, by: string): void {
  const remedy = "check the bundle's files or export it again";
  demand(finite, `logits of ${by} must be finite numbers`, { got: "NaN or infinity", remedy });
}

/** Return the largest value of a row; NaN where it contains one. */
export function largest(row: Float32Array | Float64Array): number {
  let top = -Infinity;
  for (const score of row) {
    if (score > top) top = score;
    else if (score !== score) return NaN;
  }
  return top;
}

/** Return the length of the common prefix of two token sequences: the draft and the target's own choices. */
export function acceptedPrefix(draftIds: readonly number[], targetIds: readonly number[]): number {
  const shorter = Math.min(draftIds.length, targetIds.length);
  for (let place = 0; place < shorter; place += 1) if (draftIds[place] !== targetIds[place]) return place;
  return shorter;
}

/** Return the natural log of the probability that a row of logits gives `tokenId`, before any temperature or filter. */
export function logProbability(row: Float32Array, tokenId: number): number {
  const top = largest(row);
  let sum = 0;
  for (const score of row) sum += Math.exp(score - top); // less the largest, so that exp does not overflow
  return (row[tokenId] as number) - top - Math.log(sum);
}
