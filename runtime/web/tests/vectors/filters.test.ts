/** Owns reading filters.json: temperature, top-k, top-p and min-p, as in Python. */

import { expect, test } from "vitest";
import { checkedSampling, probabilities } from "../../src/runtime/sampling.js";
import { refusalOf } from "../runtime/fakes.js";
import { apart, camel, casesOf, readVectors, type Vectors } from "./reading.js";

const HAIR = 1e-6;
const LOOSE: Vectors = { top_p: 1 + HAIR, min_p: 1 - HAIR };
const TIGHT: Vectors = { top_p: 1 - HAIR, min_p: 1 + HAIR };
const BY: Vectors = { less: 1 - HAIR, more: 1 + HAIR };

const vectors = readVectors("filters");

function expectShaped(logits: number[], settings: object, expected: number[]): void {
  expect(apart(probabilities(Float32Array.from(logits), checkedSampling(camel(settings))), expected, 1e-12)).toEqual([]);
}

test.each(casesOf(vectors.rows))("a row by temperature and top-k: %s", (_name, { logits, by_temperature, by_top_k }) => {
  for (const each of by_temperature) expectShaped(logits, { temperature: each.temperature }, each.probabilities);
  by_top_k.forEach((expected: number[], top_k: number) => expectShaped(logits, { top_k }, expected));
});

test.each(casesOf(vectors.edges))("settings on the edge of what they keep: %s", (_name, { row, settings, loose, tight }) => {
  const { logits } = vectors.rows.find((each: { name: string }) => each.name === row);
  const loosened = { ...settings };
  for (const name of Object.keys(tight)) loosened[name] *= LOOSE[name];
  expectShaped(logits, loosened, loose);
  for (const [name, expected] of Object.entries<number[]>(tight)) {
    expectShaped(logits, { ...loosened, [name]: settings[name] * TIGHT[name] }, expected);
  }
});

test.each(casesOf(vectors.limits))("a setting ends at its limit: %s", (_name, { setting, edge, refused }) => {
  const check = (value: number) => () => checkedSampling(camel({ [setting]: value }));
  expect(check(edge)).not.toThrow();
  expect(check(edge * BY[refused === "less" ? "more" : "less"])).not.toThrow();
  expect(check(edge * BY[refused])).toThrow();
});

test.each(casesOf(vectors.refused))("a setting without a meaning: %s", async (_name, { settings, message }) => {
  expect(await refusalOf(() => checkedSampling(camel(settings)))).toBe(message);
});
