/** Owns reading prompts.json: texts that no chat template wrote, with the tokenizer's own special tokens, as in Python. */

import { expect, test } from "vitest";
import { casesOf, fallbackCodec, fallbackIds, readVectors } from "./reading.js";

/** The post-processor that a template such as "<s> $A" describes. */
function postProcessor(adds: string): object {
  const piece = (each: string): object => (each === "$A" ? { Sequence: { id: "A", type_id: 0 } } : { SpecialToken: { id: each, type_id: 0 } });
  const special = (id: string, token: number): [string, object] => [id, { id, ids: [token], tokens: [id] }];
  const tokens = Object.fromEntries([special("<s>", 0), special("</s>", 1)]);
  return { type: "TemplateProcessing", single: adds.split(" ").map(piece), pair: [], special_tokens: tokens };
}

test.each(casesOf(readVectors("prompts").prompts))("a text with the tokenizer's own special tokens: %s", (_name, { adds, settings, text, tokens, count }) => {
  const codec = fallbackCodec(adds === null ? null : postProcessor(adds), settings);
  expect(codec.encodePrompt(text)).toEqual(fallbackIds(tokens));
  expect(codec.encodePrompt(text)).toHaveLength(count);
  if (text !== "") expect(codec.encodeChat([{ role: "user", content: text }])).toEqual(fallbackIds(tokens));
});
