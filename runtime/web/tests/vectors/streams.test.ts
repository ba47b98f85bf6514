/** Owns reading streams.json: text as it comes, in whole characters and without stop texts, as in Python. */

import { expect, test } from "vitest";
import { TextStream } from "../../src/runtime/streaming.js";
import { byteCodec, casesOf, readVectors, tokenIds } from "./reading.js";

const codec = byteCodec();

test.each(casesOf(readVectors("streams").streams))("pieces of a stream: %s", (_name, { tokens, stop, pieces, rest, stopped }) => {
  const stream = new TextStream((ids) => codec.decode(ids), stop);
  expect(tokenIds(tokens).map((tokenId) => stream.push(tokenId))).toEqual(pieces);
  expect([stream.finish(), stream.stopped]).toEqual([rest, stopped]);
});
