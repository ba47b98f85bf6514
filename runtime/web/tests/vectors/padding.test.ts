/** Owns reading padding.json: rows that a pass is given, and what a padded model reads, as in Python. */

import { expect, test } from "vitest";
import { Padded, paddedRows } from "../../src/runtime/padding.js";
import { ScriptedModel, refusalOf } from "../runtime/fakes.js";
import { casesOf, ids, letters, readVectors, type Vectors } from "./reading.js";

const BY: Vectors = { less: 1 - 1e-6, more: 1 + 1e-6 };

const vectors = readVectors("padding");

test.each(casesOf(vectors.tables))("rows by needed ones and minimum: %s", (_name, { provider, pass_seconds, padded, nudged }) => {
  for (const anySecond of [1e-3, 1e3]) {
    for (const { nudge, padded: expected } of [{ nudge: {}, padded }, ...nudged]) {
      const seconds = pass_seconds.map((value: Vectors, place: number) => (value === "any" ? anySecond : value * (BY[nudge[place + 1]] ?? 1)));
      for (const [minimum, counts] of Object.entries<number[]>(expected)) {
        expect(counts.map((_, rows) => paddedRows(rows, seconds, provider, Number(minimum)))).toEqual(counts);
      }
    }
  }
});

test.each(casesOf(vectors.tables))("without a minimum one row stays one: %s", (_name, { provider, pass_seconds, padded }) => {
  const seconds = pass_seconds.map((value: Vectors) => (value === "any" ? 1 : value));
  expect(padded["1"].map((_: number, rows: number) => paddedRows(rows, seconds, provider))).toEqual(padded["1"]);
});

test.each(casesOf(vectors.models))("what a padded model reads: %s", async (_name, { provider, context_length, reads, passes }) => {
  const inner = new ScriptedModel((held) => [held.at(-1) as number], 1, context_length);
  const model = new Padded(inner, [], provider);
  for (const text of reads) {
    const { logits } = await model.read(ids(text));
    expect(letters(Array.from({ length: logits.rows }, (_, row) => logits.row(row)[0] as number))).toBe(text);
  }
  expect(inner.passes.map(letters)).toEqual(passes);
  expect(letters(inner.tokenIds)).toBe(reads.join(""));
  expect(await refusalOf(() => model.read([0]))).toMatch(/^the context holds /);
});
