/** Owns the laws of index maps: ids there and back, and every map that is not one refused. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { readIndexMap } from "../../src/runtime/bundle.js";
import { IndexMap } from "../../src/runtime/indexMap.js";
import { refusalOf } from "./fakes.js";

const maps = fc
  .uniqueArray(fc.nat(199), { minLength: 1, maxLength: 60 })
  .map((ids) => new IndexMap(ids.sort((one, other) => one - other), 200));

/** A safetensors file of one int64 row. */
function safetensors(ids: readonly number[], changes: Record<string, unknown> = {}): Uint8Array {
  const entry = { dtype: "I64", shape: [ids.length], data_offsets: [0, ids.length * 8], ...changes };
  const header = new TextEncoder().encode(JSON.stringify({ __metadata__: { convention: "absolute" }, target_ids: entry }));
  const bytes = new Uint8Array(8 + header.length + ids.length * 8);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(header.length), true);
  bytes.set(header, 8);
  ids.forEach((id, place) => view.setBigInt64(8 + header.length + place * 8, BigInt(id), true));
  return bytes;
}

test("to draft ids and back to the target's is where one began, for exactly the ids that are held", () => {
  fc.assert(
    fc.property(maps, fc.uniqueArray(fc.nat(199)), (map, ids) => {
      const held = ids.filter((id) => map.holds([id]));
      expect(map.toDraft(ids).map((draft) => map.toTarget(draft))).toEqual(held);
      expect(Array.from(map.targetIds).filter((id) => map.holds([id]))).toEqual(Array.from(map.targetIds));
    }),
  );
});

test("a written map is read", () => {
  expect(Array.from(readIndexMap(safetensors([0, 5, 7]), 8, "map").targetIds)).toEqual([0, 5, 7]);
});

const REMEDY = " - export the bundle again";
const FAULTS: [string, Uint8Array, string][] = [
  ["a step down", safetensors([5, 0]), `map: index map: ids must strictly increase, got a repeat or a step down${REMEDY}`],
  ["ids too large", safetensors([0, 8]), `map: index map: ids must lie in 0..7, got 0..8${REMEDY}`],
  ["no ids", safetensors([]), `map: index map: expected 1..8 ids, got 0${REMEDY}`],
  ["another type", safetensors([0, 1], { dtype: "I32" }), `map: target_ids: expected one row of int64, got I32${REMEDY}`],
  ["offsets outside", safetensors([0, 1], { data_offsets: [8, 24] }), `map: not a safetensors file edgedraft can read, got offsets 8..24 lie outside the file${REMEDY}`],
];

test.each(FAULTS)("%s is refused", async (_what, bytes, message) => {
  expect(await refusalOf(() => readIndexMap(bytes, 8, "map"))).toBe(message);
});

test("a file cut short is refused", async () => {
  expect(await refusalOf(() => readIndexMap(safetensors([0, 5]).subarray(0, 20), 8, "map"))).toMatch(/^map: not a safetensors file/);
});
