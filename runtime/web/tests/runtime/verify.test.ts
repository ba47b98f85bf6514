/** Owns the laws of greedy verification. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { acceptedPrefix, greedyChoice, logProbability } from "../../src/runtime/verify.js";
import { refusalOf } from "./fakes.js";

test("the choice is the largest logit, the smaller id of equal ones", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: -3, max: 3 }), { minLength: 1 }), (row) => {
      expect(greedyChoice(Float32Array.from(row))).toBe(row.indexOf(Math.max(...row)));
    }),
  );
});

test.each([[[NaN, 1]], [[1, NaN]], [[1, Infinity]], [[-Infinity, -Infinity]]])("%j is refused", async (row) => {
  const message = "logits of the model must be finite numbers, got NaN or infinity - check the bundle's files or export it again";
  expect(await refusalOf(() => greedyChoice(Float32Array.from(row)))).toBe(message);
});

test("the accepted prefix is the common beginning", () => {
  expect([acceptedPrefix([1, 2, 3], [1, 2, 4]), acceptedPrefix([], [1]), acceptedPrefix([1, 2], [1, 2, 3])]).toEqual([2, 0, 2]);
});

test("log-probabilities are those of the softmax, however large the logits", () => {
  expect(logProbability(Float32Array.from([0, 0, 0, 0]), 2)).toBeCloseTo(-Math.log(4), 12);
  expect(logProbability(Float32Array.from([1000, 0]), 1)).toBeCloseTo(-1000, 9);
});
