/** Owns the laws of signatures: known decoders are read, everything else is refused by name. */

import { expect, test } from "vitest";
import { cacheSlot, readSignature, requireInPlace, type GraphValue } from "../../src/runtime/signature.js";
import { refusalOf } from "./fakes.js";

const INPUTS: GraphValue[] = [
  { name: "input_ids", type: "int64", shape: ["batch", "rows"] },
  { name: "attention_mask", type: "int64", shape: ["batch", "total"] },
  { name: "past_key_values.0.key", type: "float32", shape: ["batch", 2, "past", 32] },
  { name: "past_key_values.0.value", type: "float32", shape: ["batch", 2, "past", 32] },
];
const OUTPUTS: GraphValue[] = [
  { name: "logits", type: "float32", shape: ["batch", "rows", 1024] },
  { name: "present.0.value", type: "float32", shape: ["batch", 2, "total", 32] },
  { name: "present.0.key", type: "float32", shape: ["batch", 2, "total", 32] },
];

test("a decoder's feeds, caches and width are read", () => {
  const found = readSignature("graph", INPUTS, OUTPUTS);
  expect([...found.feeds]).toEqual(["input_ids", "attention_mask"]);
  expect(found.vocabSize).toBe(1024);
  expect(found.caches[0]).toEqual({ name: "past_key_values.0.key", present: "present.0.key", heads: 2, width: 32, type: "float32" });
});

test("pasts and presents are known by the names that exporters give", () => {
  expect(["past.3.key", "present_key_values.11.value", "past_value_7", "past_key_values.key.2"].map(cacheSlot)).toEqual(["3.key", "11.value", "7.value", "2.key"]);
  expect(["input_ids", "past_sequence_length", "past_3"].map(cacheSlot)).toEqual([null, null, null]);
});

const changed = (place: number, changes: Partial<GraphValue>): GraphValue[] => INPUTS.map((node, at) => (at === place ? { ...node, ...changes } : node));
const AGAIN = " - export the model again with edgedraft";

test.each<[string, GraphValue[], GraphValue[], string]>([
  ["an unknown input", changed(1, { name: "inputs_embeds" }), OUTPUTS, `graph: input inputs_embeds: not known; a decoder takes attention_mask, input_ids, position_ids and a key and a value for each layer${AGAIN}`],
  ["a fixed number of tokens", changed(0, { shape: [1, 1] }), OUTPUTS, `graph: input input_ids: expected int64 of two axes, the tokens symbolic, got int64 [1, 1]${AGAIN}`],
  ["symbolic heads", changed(2, { shape: ["b", "h", "p", 32] }), OUTPUTS, `graph: input past_key_values.0.key: expected (batch, heads, tokens, head size), only heads and head size fixed, got b, h, p, 32${AGAIN}`],
  ["no present", INPUTS, OUTPUTS.slice(0, 2), `graph: input past_key_values.0.key: no output holds what it becomes${AGAIN}`],
  ["no past", INPUTS.slice(0, 2), OUTPUTS, "graph: no keys and values among the inputs - export a decoder with past"],
  ["half logits", INPUTS, [{ name: "logits", type: "float16", shape: [1, 1, 9] }, ...OUTPUTS.slice(1)], `graph: logits: expected float32, got float16${AGAIN}`],
])("%s is refused", async (_what, inputs, outputs, message) => {
  expect(await refusalOf(() => readSignature("graph", inputs, outputs))).toBe(message);
});

test("graphs that append to their past are refused, told by the operators they name", async () => {
  const graph = new TextEncoder().encode("..GGroupQueryAttention..");
  expect(() => requireInPlace("graph", graph)).not.toThrow();
  const message = "graph: keys and values must be written in place (GroupQueryAttention) - export the model with edgedraft's own route (not Optimum), whose graphs write in place";
  expect(await refusalOf(() => requireInPlace("graph", new TextEncoder().encode("GroupQueryMatMul")))).toBe(message);
});
