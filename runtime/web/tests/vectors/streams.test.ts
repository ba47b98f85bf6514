/** Owns reading streams.json: text as it comes, in whole characters and without stop texts, as in Python. */

import { expect, test } from "vitest";
import { TextStream } from "../../src/runtime/streaming.js";
import { byteCodec, casesOf, fallbackCodec, fallbackIds, readVectors, tokenIds } from "./reading.js";

const codec = byteCodec();
const vectors = readVectors("streams");

test.each(casesOf(vectors.streams))("pieces of a stream: %s", (_name, { tokens, stop, pieces, rest, stopped }) => {
  const stream = new TextStream((ids) => codec.decode(ids), stop);
  expect(tokenIds(tokens).map((tokenId) => stream.push(tokenId))).toEqual(pieces);
  expect([stream.finish(), stream.stopped]).toEqual([rest, stopped]);
});

test.each(casesOf(vectors.byte_tokens))("pieces of a stream of bytes: %s", (_name, { tokens, pieces, rest }) => {
  const bytes = fallbackCodec();
  const stream = new TextStream((ids) => bytes.decode(ids), [], bytes.special.byteIds);
  expect(fallbackIds(tokens).map((tokenId) => stream.push(tokenId))).toEqual(pieces);
  expect(stream.finish()).toBe(rest);
});
