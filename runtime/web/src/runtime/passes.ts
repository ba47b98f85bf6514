/** Owns `MeasuredPasses`: seconds of target and drafter passes, from rounds that were timed. Nothing here measures. */

import { demand } from "./errors.js";
import { paddedRows } from "./padding.js";

/** Draft lengths of a turn. Of the two plain steps only the second counts; of the first draft behind them, the target's pass. */
export const LENGTHS = [0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8] as const;

/** Draft lengths up to this one are always timed. */
export const WARM_UP_LENGTH = 2;

const SHORTEST = 1e-9;

/**
 * Seconds of a round's passes, by the drafts made in it and what became of the round before: `afterFull` where all its
 * drafts were accepted, `afterPlain` where it had none.
 */
export interface TimedRound {
  readonly drafted: number;
  readonly afterFull: boolean;
  readonly afterPlain: boolean;
  readonly drafterSeconds: number;
  readonly targetSeconds: number;
}

/** Seconds of one pass of a drafter, and of what the first pass has more to read after a round that was accepted in full. */
export interface DraftCosts {
  readonly next: number;
  readonly afterFull: number;
}

/** Seconds of a target's passes over 1, 2, ... rows, unpadded, and of the drafter's. */
export interface MeasuredPasses {
  readonly target: readonly number[];
  readonly drafter: DraftCosts;
}

/** Return the seconds of a target's pass that needs `rows` rows, padded as the runtime pads it. */
export function targetSeconds({ target }: MeasuredPasses, rows: number): number {
  return target[paddedRows(rows, target, "") - 1] as number;
}

/** Return the draft lengths of a turn that takes no more than `seconds`, by passes of few rows; 1 and 2 always. */
export function affordableLengths({ target, drafter }: MeasuredPasses, seconds: number): readonly number[] {
  const [first, last] = [target[0] as number, target.at(-1) as number];
  const row = Math.max(last - first, 0) / (target.length - 1);
  let spent = 0;
  const end = LENGTHS.findIndex((length) => {
    spent += first + length * (row + drafter.next);
    return length > WARM_UP_LENGTH && spent > seconds;
  });
  return end < 0 ? LENGTHS : LENGTHS.slice(0, end);
}

/** Return the seconds of passes: medians of the rounds with as many drafts, rows between them on a straight line. */
export function passSeconds(rounds: readonly TimedRound[]): MeasuredPasses {
  const known = [...new Set(rounds.map((round) => round.drafted))].sort((one, other) => one - other);
  demand(known[0] === 0, "tuning: expected rounds without drafts", { got: `[${known.join(", ")}]` });
  const medians = known.map((length) => median(rounds.filter((round) => round.drafted === length).map((round) => round.targetSeconds)));
  const target = Array.from({ length: (known.at(-1) as number) + 1 }, (_, drafted) => between(known, medians, drafted));
  return { target, drafter: draftCosts(rounds.filter((round) => round.drafted > 0 && !round.afterPlain)) };
}

/** Rounds that are alike: their facts, γ and whether the round before was full, and the median of their seconds. */
interface Alike {
  readonly facts: readonly [number, number];
  readonly seconds: number;
  readonly count: number;
}

/** Fit γ · next + full · afterFull to the medians of rounds that are alike, by relative errors; no cost is negative. */
function draftCosts(rounds: readonly TimedRound[]): DraftCosts {
  demand(rounds.length > 0, "tuning: expected rounds with drafts", { got: "none", remedy: "use a longer context" });
  const groups = new Map<string, TimedRound[]>();
  for (const round of rounds) {
    const name = `${round.drafted} ${round.afterFull}`;
    groups.set(name, [...(groups.get(name) ?? []), round]);
  }
  const alike = [...groups.values()].map((group): Alike => {
    const { drafted, afterFull } = group[0] as TimedRound;
    return { facts: [drafted, afterFull ? 1 : 0], seconds: median(group.map((round) => round.drafterSeconds)), count: group.length };
  });
  const [next, afterFull] = leastSquares(alike).map((cost) => Math.max(cost, SHORTEST)) as [number, number];
  return { next, afterFull };
}

/** Solve the normal equations of two unknowns; where they leave one open, take the shortest of all solutions. */
function leastSquares(alike: readonly Alike[]): readonly [number, number] {
  let [aa, ab, bb, as, bs] = [0, 0, 0, 0, 0];
  for (const { facts: [a, b], seconds, count } of alike) {
    const weight = count / Math.max(seconds, SHORTEST) ** 2;
    aa += weight * a * a;
    ab += weight * a * b;
    bb += weight * b * b;
    as += weight * a * seconds;
    bs += weight * b * seconds;
  }
  const determinant = aa * bb - ab * ab;
  if (determinant > 1e-12 * aa * bb) return [(bb * as - ab * bs) / determinant, (aa * bs - ab * as) / determinant];
  const scale = 1 / (aa + bb);
  return [as * scale, bs * scale];
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = (sorted.length - 1) / 2;
  return ((sorted[Math.floor(middle)] as number) + (sorted[Math.ceil(middle)] as number)) / 2;
}

/** Return the value at `place` on straight lines between `values` at the `known` places, sorted and beginning with 0. */
function between(known: readonly number[], values: readonly number[], place: number): number {
  const upper = known.findIndex((each) => each >= place);
  const [high, end] = [known[upper] as number, values[upper] as number];
  if (high === place) return end;
  const [low, start] = [known[upper - 1] as number, values[upper - 1] as number];
  return start + ((end - start) * (place - low)) / (high - low);
}
