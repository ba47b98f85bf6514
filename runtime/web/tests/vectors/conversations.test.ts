/** Owns reading conversations.json: conversations fitted into the context, as in Python. */

import { expect, test } from "vitest";
import { fitConversation } from "../../src/runtime/conversation.js";
import type { Message } from "../../src/runtime/text.js";
import { refusalOf } from "../runtime/fakes.js";
import { casesOf, ids, readVectors, snake, type Vectors } from "./reading.js";

const ROLES: Readonly<Record<string, Message["role"]>> = { S: "system", U: "user", A: "assistant" };

/** Every letter of a message is a token, behind the first letter of its role. */
const encodeChat = (messages: readonly Message[]): number[] => messages.flatMap(({ role, content }) => ids((role[0] as string).toUpperCase() + content));

const vectors = readVectors("conversations");

test.each(casesOf(vectors.talks))("a talk at both ends of every step: %s", async (_name, { talk, steps, refused }) => {
  const messages: Message[] = talk.split(" ").map((word: string) => ({ role: ROLES[word.charAt(0)], content: word.slice(2) }));
  const fitted = (limit: number): object => snake(fitConversation(encodeChat, messages, limit));
  let last = steps[0].from;
  for (const { from, text, dropped_messages } of steps as Vectors[]) {
    const expected = { token_ids: ids(text), dropped_messages };
    expect(fitted(from)).toEqual(expected);
    expect(fitted(last)).toEqual(expected);
    last = from - 1;
  }
  expect(await refusalOf(() => fitted(last))).toBe(refused);
});
