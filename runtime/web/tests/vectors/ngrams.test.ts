/** Owns reading ngrams.json: looked-up drafts, as in Python. */

import { expect, test } from "vitest";
import { GREEDY } from "../../src/runtime/decoding.js";
import { NgramIndex, NgramSource } from "../../src/runtime/ngram.js";
import { FixedLength } from "../../src/runtime/policies.js";
import { TokenDrafter } from "../../src/runtime/tokenDrafter.js";
import { casesOf, ids, letters, readVectors, type Vectors } from "./reading.js";

const vectors = readVectors("ngrams");

function indexOf({ text, lengths }: Vectors): NgramIndex {
  const index = new NgramIndex(...(lengths.split("-").map(Number) as [number, number]));
  index.extend(ids(text));
  return index;
}

test.each(casesOf(vectors.matches))("a match: %s", (_name, each) => {
  expect(indexOf(each).find(ids(each.context))).toEqual({ tokenId: ids(each.next)[0], length: each.length });
});

test.each(casesOf(vectors.misses))("no match: %s", (_name, each) => {
  expect(indexOf(each).find(ids(each.context))).toBeNull();
});

test.each(casesOf(vectors.drafts))("drafts of every length in every limit: %s", async (_name, { text, drafts }) => {
  for (let draftLength = 1; draftLength < 9; draftLength += 1) {
    for (let limit = 0; limit < 10; limit += 1) {
      const drafter = new TokenDrafter(new NgramSource(), new FixedLength(draftLength));
      const draft = await drafter.propose(ids(text), limit, GREEDY.sampler);
      expect(letters(draft.tokens.map((token) => token.tokenId))).toBe(drafts.slice(0, Math.min(draftLength, limit)));
    }
  }
});
