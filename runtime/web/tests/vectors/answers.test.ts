/** Owns reading answers.json: where answers made of rounds end, and their pieces of text, as in Python. */

import { expect, test } from "vitest";
import { limited } from "../../src/runtime/limits.js";
import type { Round } from "../../src/runtime/rounds.js";
import { TextStream, textPieces } from "../../src/runtime/streaming.js";
import { take } from "../runtime/fakes.js";
import { byteCodec, camel, casesOf, ids, readVectors, snake, tokenIds, type Vectors } from "./reading.js";

const codec = byteCodec();
const vectors = readVectors("answers");

async function* coming(rounds: readonly Vectors[]): AsyncGenerator<Round> {
  yield* rounds.map((each) => camel(each) as unknown as Round);
}

test.each(casesOf(vectors.limits))("an answer cut at every length: %s", async (_name, { rounds, end, by_max_new_tokens }) => {
  const known = (each: Vectors): Vectors => ({ ...each, token_ids: ids(each.token_ids) });
  for (const [place, expected] of by_max_new_tokens.entries()) {
    const limits = { maxNewTokens: place + 1, endTokenIds: ids(end) };
    const found = await take(limited(coming(rounds.map(known)), limits), Infinity);
    expect(found.map(snake)).toEqual(expected.map(known));
  }
});

test.each(casesOf(vectors.answers))("the pieces of an answer: %s", async (_name, { rounds, stop, pieces }) => {
  const known = (each: Vectors): Vectors => ({ ...each, token_ids: tokenIds(each.token_ids) });
  const stream = new TextStream((tokens) => codec.decode(tokens), stop);
  const found = await take(textPieces(coming(rounds.map(known)), stream), Infinity);
  expect(found.map(snake)).toEqual(pieces.map(known));
});
