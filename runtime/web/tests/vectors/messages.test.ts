/** Owns reading messages.json: conversations as a model gets them, and what is refused, as in Python. */

import { expect, test } from "vitest";
import type { TextCodec } from "../../src/runtime/text.js";
import { refusalOf } from "../runtime/fakes.js";
import { byteCodec, casesOf, readVectors } from "./reading.js";

const vectors = readVectors("messages");
const chat = (name: string | null): TextCodec => byteCodec(name === null ? null : vectors.templates[name], { bos_token: "<s>" });

test.each(casesOf(vectors.rendered))("a conversation as text: %s", (_name, { template, messages, text }) => {
  expect(chat(template).renderChat(messages)).toBe(text);
});

test.each(casesOf(vectors.refused))("what is no conversation is refused: %s", async (_name, { messages, message, starts }) => {
  for (const template of [null, "plain", "parts"]) {
    const refusal = await refusalOf(() => chat(template).renderChat(messages));
    expect(message === undefined ? refusal.slice(0, starts.length) : refusal).toBe(message ?? starts);
  }
});

test.each(casesOf(vectors.hidden))("what the template leaves out: %s", async (_name, { template, messages, hidden }) => {
  const encode = (): number[] => chat(template).encodeChat(messages);
  if (hidden === null) return expect(encode()).toEqual(chat(template).encode(chat(template).renderChat(messages)));
  const remedy = "leave them out, or choose a model whose template knows them";
  expect(await refusalOf(encode)).toBe(`the chat template must show every message, got hidden: ${hidden} - ${remedy}`);
});
