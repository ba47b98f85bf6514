/** Owns the laws of padding: at least the real rows, the cheapest count where it pays, and nobody sees the extra ones. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { Padded, paddedRows } from "../../src/runtime/padding.js";
import { ScriptedModel, mixedScript, refusalOf } from "./fakes.js";

test("by measured seconds the cheapest count is taken, the smallest of equal ones, where it saves a twentieth", () => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 12 }), fc.array(fc.integer({ min: 1, max: 99 }), { maxLength: 10, minLength: 1 }), (rows, seconds) => {
      const found = paddedRows(rows, seconds, "webgpu");
      const cost = (count: number): number => seconds[count - 1] ?? Infinity;
      const more = seconds.slice(rows).map((_, place) => rows + 1 + place);
      if (found === rows) more.forEach((count) => expect(cost(count)).toBeGreaterThanOrEqual(0.95 * cost(rows) - 1e-9));
      else {
        expect(cost(found)).toBeLessThan(0.95 * cost(rows));
        more.forEach((count) => expect(cost(count)).toBeGreaterThanOrEqual(cost(found) + (count < found ? 1 : 0)));
      }
      expect(paddedRows(1, seconds, "webgpu")).toBe(1);
    }),
  );
});

test("without measurements blocks have at least four rows on WebGPU, single steps one, and WebAssembly pads nothing", () => {
  expect([1, 2, 3, 4, 5].map((rows) => paddedRows(rows, [], "webgpu"))).toEqual([1, 4, 4, 4, 5]);
  expect([1, 2, 3].map((rows) => paddedRows(rows, [], "wasm"))).toEqual([1, 2, 3]);
  expect([1, 2, 9].map((rows) => paddedRows(rows, [], "wasm", 8))).toEqual([8, 8, 9]);
});

test("the extra rows come after the real ones, are forgotten, and their logits are not shown", async () => {
  const inner = new ScriptedModel(mixedScript(5, 0), 5, 10);
  const model = new Padded(inner, [], "wasm", 4);
  const { logits } = await model.read([3, 1]);
  expect(inner.passes).toEqual([[3, 1, 1, 1]]);
  expect([logits.rows, logits.width, model.length, [...model.tokenIds]]).toEqual([2, 5, 2, [3, 1]]);
  expect(Array.from(logits.row(1))).toEqual(Array.from(Float32Array.from(mixedScript(5, 0)([3, 1]))));
});

test("a pass without room for its padding is left as it is, and a memory that is full still says so", async () => {
  const inner = new ScriptedModel(mixedScript(5, 0), 5, 6);
  const model = new Padded(inner, [], "wasm", 4);
  await model.read([1, 2, 3]);
  await model.read([1, 2]);
  expect(inner.passes.at(-1)).toEqual([1, 2]);
  const message = "the context holds 6 tokens, got 7 - shorten the prompt or open the bundle with a larger context";
  expect(await refusalOf(() => model.read([1, 2]))).toBe(message);
});
