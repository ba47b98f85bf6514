/** Owns choosing how to draft: the speed of every way by measured passes and a bundle's forecast. Nothing here measures. */

import { demand } from "./errors.js";
import type { AcceptanceForecast, LengthForecast, LookupForecast } from "./forecast.js";
import { passSeconds, targetSeconds, type MeasuredPasses, type TimedRound } from "./passes.js";
import { WORTHWHILE_SPEED_UP } from "./plan.js";
import type { Policy } from "./policies.js";
import { random } from "./random.js";
import { total } from "./statistics.js";

const RESAMPLINGS = 200;
const LEVEL = 0.8;
const SEED = 0;

/** A policy with its draft length (0: no drafts), and what the forecast and the passes predict for it. */
export interface PredictedWay {
  readonly policy: Policy;
  readonly draftLength: number;
  readonly tokensPerSecond: number;
  readonly blockEfficiency: number;
  readonly acceptanceRate: number;
}

/** A speed-up with the ends of its 80 % interval. */
export interface SpeedUp {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

/**
 * The fastest way that drafts (of the drafter's own, if none is worth it) beside plain decoding; `speculate` says whether
 * it is worth it.
 */
export interface TuningChoice {
  readonly best: PredictedWay;
  readonly plain: PredictedWay;
  readonly speculate: boolean;
  readonly speedUp: SpeedUp;
  readonly chanceToPay: number;
  readonly passes: MeasuredPasses;
}

/** Predict plain decoding first, then every draft length and every useful look-up whose passes were timed. */
export function predictedWays(forecast: AcceptanceForecast, passes: MeasuredPasses): readonly PredictedWay[] {
  const longest = passes.target.length - 1;
  const timed = ({ draft_length: length }: LengthForecast | LookupForecast): boolean => length <= longest;
  const plain: PredictedWay = { policy: "plain", draftLength: 0, tokensPerSecond: 1 / targetSeconds(passes, 1), blockEfficiency: 1, acceptanceRate: 0 };
  return [
    plain,
    ...forecast.lengths.filter(timed).map((each) => drafting("fixed", each, each.rounds, lengthSeconds(each, passes), forecast.tokens)),
    ...forecast.lookups
      .filter((each) => timed(each) && each.accepted > 0)
      .map((each) => drafting("ngram", each, total(each.rounds, (count) => count), lookupSeconds(each, passes), forecast.tokens)),
  ];
}

function drafting(policy: Policy, each: LengthForecast | LookupForecast, rounds: number, seconds: number, tokens: number): PredictedWay {
  return {
    policy,
    draftLength: each.draft_length,
    tokensPerSecond: tokens / seconds,
    blockEfficiency: tokens / rounds,
    acceptanceRate: each.evaluated > 0 ? Math.min(Math.max(each.accepted / each.evaluated, 0), 1) : 0,
  };
}

/** Return the seconds of all rounds with drafts of one length. */
function lengthSeconds({ draft_length: length, rounds, full_rounds: full }: LengthForecast, passes: MeasuredPasses): number {
  const { next, afterFull } = passes.drafter;
  return rounds * (length * next + targetSeconds(passes, length + 1)) + full * afterFull;
}

/** Return the seconds of all rounds with look-ups, which take none themselves. */
function lookupSeconds({ rounds }: LookupForecast, passes: MeasuredPasses): number {
  return rounds.reduce((sum, count, drafted) => sum + count * targetSeconds(passes, drafted + 1), 0);
}

/** Return the fastest of the ways that draft; the drafter's own, where none is worth it: the user may still ask for it. */
export function chosenWay([plain, ...drafting]: readonly PredictedWay[]): PredictedWay {
  const best = fastest(drafting);
  const worthwhile = best.tokensPerSecond >= WORTHWHILE_SPEED_UP * (plain as PredictedWay).tokensPerSecond;
  return worthwhile ? best : fastest(drafting.filter((way) => way.policy === "fixed"));
}

function fastest(ways: readonly PredictedWay[]): PredictedWay {
  demand(ways.length > 0, "tuning: expected a forecast of a draft length that was timed", { got: "none", remedy: "export the bundle again" });
  return ways.reduce((best, way) => (way.tokensPerSecond > best.tokensPerSecond ? way : best));
}

/** Choose by the turns that were timed. The interval is of the times: whole turns are drawn again and again. */
export function choose(forecast: AcceptanceForecast, turns: readonly (readonly TimedRound[])[]): TuningChoice {
  const passes = passSeconds(turns.flat());
  const ways = predictedWays(forecast, passes);
  const [plain, best] = [ways[0] as PredictedWay, chosenWay(ways)];
  const value = best.tokensPerSecond / plain.tokensPerSecond;
  const ratios = resampled(forecast, turns, best).sort((one, other) => one - other);
  const end = Math.floor(((1 - LEVEL) / 2) * RESAMPLINGS);
  const [low, high] = [ratios[end] as number, ratios[RESAMPLINGS - 1 - end] as number];
  return {
    best,
    plain,
    speculate: value >= WORTHWHILE_SPEED_UP,
    speedUp: { value, low: Math.min(low, value), high: Math.max(high, value) },
    chanceToPay: ratios.filter((ratio) => ratio > 1).length / RESAMPLINGS,
    passes,
  };
}

/** Return the speed-ups of `chosen` by turns drawn with replacement. */
function resampled(forecast: AcceptanceForecast, turns: readonly (readonly TimedRound[])[], chosen: PredictedWay): number[] {
  const next = random(SEED);
  return Array.from({ length: RESAMPLINGS }, () => {
    const drawn = turns.flatMap(() => turns[Math.floor(next() * turns.length)] ?? []);
    const [plain, ...drafts] = predictedWays(forecast, passSeconds(drawn));
    const same = drafts.find((way) => way.policy === chosen.policy && way.draftLength === chosen.draftLength);
    return (same?.tokensPerSecond ?? NaN) / (plain?.tokensPerSecond ?? NaN);
  });
}
