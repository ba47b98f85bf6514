/** Owns reading tuning.json: passes from timed rounds, and how to draft by them and a forecast, as in Python. */

import { expect, test } from "vitest";
import { chosenWay, predictedWays, type PredictedWay } from "../../src/runtime/choosing.js";
import { readForecast, type AcceptanceForecast } from "../../src/runtime/forecast.js";
import { affordableLengths, passSeconds, type MeasuredPasses } from "../../src/runtime/passes.js";
import { WORTHWHILE_SPEED_UP } from "../../src/runtime/plan.js";
import { apart, casesOf, readVectors, type Vectors } from "./reading.js";

const CLOSE = 1e-9;
const HAIR = 1e-9;
const WORDS: Readonly<Record<string, number>> = { any: 1, slow: 1e3, fast: 1e-6 };

const vectors = readVectors("tuning");

/** The value with numbers in the places of words. */
function known(value: Vectors, beyond = 0): Vectors {
  if (Array.isArray(value)) return value.map((item) => known(item, beyond));
  if (typeof value === "object") return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, known(item, beyond)]));
  return value === "beyond" ? beyond : (WORDS[value] ?? value);
}

function measured({ target, step, after_full = 0 }: Vectors): MeasuredPasses {
  return { target: known(target), drafter: { next: known(step), afterFull: known(after_full) } };
}

function forecastOf({ forecast, passes }: Vectors): AcceptanceForecast {
  return readForecast(known(forecast, passes.target.length), "forecast");
}

function outcome(ways: readonly PredictedWay[]): object {
  const [plain, best] = [ways[0] as PredictedWay, chosenWay(ways)];
  const speculate = best.tokensPerSecond >= WORTHWHILE_SPEED_UP * plain.tokensPerSecond;
  return { policy: best.policy, draft_length: best.draftLength, speculate };
}

test.each(casesOf(vectors.passes))("passes of timed rounds: %s", (_name, { rounds, target, step, after_full }) => {
  const timed = rounds.map(({ drafted, before, ...seconds }: Vectors) => {
    const { drafter_seconds: drafterSeconds, target_seconds: targetSeconds } = known(seconds);
    return { drafted, afterFull: before === "full", afterPlain: before === "plain", drafterSeconds, targetSeconds };
  });
  const found = passSeconds(timed);
  expect(apart(found.target, target, CLOSE)).toEqual([]);
  expect(apart([found.drafter.next, found.drafter.afterFull], [step, after_full], CLOSE)).toEqual([]);
});

test.each(casesOf(vectors.ways))("ways and the chosen one: %s", (_name, vector) => {
  const ways = predictedWays(forecastOf(vector), measured(vector.passes));
  expect(ways.map((way) => [way.policy, way.draftLength])).toEqual(vector.ways.map((way: Vectors) => way.slice(0, 2)));
  ways.forEach((way, place) => {
    const numbers = [way.tokensPerSecond, way.blockEfficiency, way.acceptanceRate];
    expect(apart(numbers, vector.ways[place].slice(2), CLOSE)).toEqual([]);
  });
  expect(outcome(ways)).toEqual(vector.chosen);
});

test.each(casesOf(vectors.edges))("drafts are worth it from 3 %% on: %s", (_name, vector) => {
  for (const [hair, speculate] of [[-HAIR, false], [HAIR, true]] as const) {
    const target = [vector.worth_from_plain_seconds * (1 + hair), ...vector.passes.target];
    const passes = { ...vector.passes, target };
    const found = outcome(predictedWays(forecastOf({ ...vector, passes }), measured(passes)));
    const chosen = speculate ? vector.chosen : { policy: "fixed", draft_length: 1 };
    expect(found).toEqual({ ...chosen, speculate });
  }
});

test.each(casesOf(vectors.affordable))("a turn goes as far as its seconds: %s", (_name, { passes, edges }) => {
  const longest = (seconds: number): unknown => affordableLengths(measured(passes), seconds).at(-1);
  let before = 2;
  for (const { longest: length, from_seconds } of edges) {
    expect([longest(from_seconds * (1 - HAIR)), longest(from_seconds * (1 + HAIR))]).toEqual([before, length]);
    before = length;
  }
  expect(affordableLengths(measured(passes), 0)).toEqual([0, 0, 1, 1, 2]);
});
