/** Owns reading penalties.json: the repetition penalty and the bias on float32 logits, to the last bit as in Python. */

import { expect, test } from "vitest";
import { adjusted, checkedSampling } from "../../src/runtime/sampling.js";
import { refusalOf } from "../runtime/fakes.js";
import { casesOf, readVectors, type Vectors } from "./reading.js";

const vectors = readVectors("penalties");

function after({ logits, seen = [], repetition_penalty: penalty }: Vectors, bias: Record<string, number>): number[] {
  const settings = checkedSampling(penalty === undefined ? {} : { repetitionPenalty: penalty });
  const biases = new Map(Object.entries(bias).map(([id, by]) => [Number(id), by]));
  return [...adjusted(Float32Array.from(logits), settings, seen, biases)];
}

test.each(casesOf(vectors.cases))("logits after the penalty and after the bias: %s", (_name, each) => {
  expect(after(each, {})).toEqual(each.penalised);
  expect(after(each, each.logit_bias)).toEqual(each.adjusted);
});

test.each(casesOf(vectors.cases))("some token must be left: %s", async (_name, each) => {
  const shut = Object.fromEntries(each.logits.map((_: number, id: number) => [id, -Infinity]));
  expect(await refusalOf(() => after(each, shut))).toBe(vectors.shut);
});
