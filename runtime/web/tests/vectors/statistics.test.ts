/** Owns reading statistics.json: what decoding achieved, as numbers, as in Python. */

import { expect, test } from "vitest";
import type { Round } from "../../src/runtime/rounds.js";
import { acceptanceRate, blockEfficiency, countRounds, medianInterval, memoryBoundSpeedUp } from "../../src/runtime/statistics.js";
import { untimed } from "../runtime/fakes.js";
import { casesOf, isClose, readVectors, type Vectors } from "./reading.js";

const CLOSE = 1e-12;

const vectors = readVectors("statistics");

function roundsOf(answer: Vectors): Round[] {
  return answer.rounds.map(({ tokens, drafted, accepted }: Vectors) => untimed([...new Array(tokens).keys()], drafted, accepted));
}

function expectClose(found: object, expected: object): void {
  expect(Object.keys(found).sort()).toEqual(Object.keys(expected).sort());
  for (const [key, value] of Object.entries<number>(expected as Record<string, number>)) {
    expect(isClose((found as Record<string, number>)[key] as number, value, CLOSE), key).toBe(true);
  }
}

const counted = (rounds: readonly Round[]): object => {
  const counts = countRounds(rounds);
  return { ...counts, acceptance_rate: acceptanceRate(counts), block_efficiency: blockEfficiency(counts) };
};

test.each(casesOf(vectors.answers))("one answer: %s", (_name, answer) => expectClose(counted(roundsOf(answer)), answer.counts));

test.each(casesOf(vectors.together))("all answers together: %s", (_name, expected) => {
  expectClose(counted(vectors.answers.flatMap(roundsOf)), expected);
});

test.each(casesOf(vectors.mbsus))("memory-bound speed-up: %s", (_name, { block_efficiency, cost_ratio, draft_length, mbsu }) => {
  expect(isClose(memoryBoundSpeedUp(block_efficiency, cost_ratio, draft_length), mbsu, CLOSE)).toBe(true);
});

test.each(casesOf(vectors.spreads))("median and quartiles: %s", (_name, { values, beginnings }) => {
  expect(beginnings.length).toBe(values.length);
  beginnings.forEach((expected: object, place: number) => expectClose(medianInterval(values.slice(0, place + 1)), expected));
});
