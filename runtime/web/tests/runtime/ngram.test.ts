/** Owns the law of n-gram drafts: what followed the longest known ending at its latest place. */

import { expect, test } from "vitest";
import { GREEDY } from "../../src/runtime/decoding.js";
import { NgramIndex, NgramSource } from "../../src/runtime/ngram.js";
import { FixedLength } from "../../src/runtime/policies.js";
import { TokenDrafter } from "../../src/runtime/tokenDrafter.js";
import { refusalOf } from "./fakes.js";

test("the longest known ending decides, at its latest earlier place", () => {
  const index = new NgramIndex();
  index.extend([1, 2, 3, 9, 2, 3, 7, 1, 2, 3]);
  expect(index.find([1, 2, 3])).toEqual({ tokenId: 9, length: 3 });
  expect(index.find([8, 2, 3])).toEqual({ tokenId: 7, length: 2 });
  expect(index.find([3])).toBeNull();
});

test("drafts go on from what they looked up, up to their length and the limit", async () => {
  const text = [5, 6, 7, 8, 5, 6];
  const drafter = new TokenDrafter(new NgramSource(), new FixedLength(4));
  const ids = async (limit: number): Promise<number[]> =>
    (await drafter.propose(text, limit, GREEDY.sampler)).tokens.map((token) => token.tokenId);
  await drafter.begin(text);
  expect(await ids(9)).toEqual([7, 8, 5, 6]);
  expect(await ids(2)).toEqual([7, 8]);
});

test("an answer begins with nothing of the one before", async () => {
  const source = new NgramSource();
  source.start([5, 6, 7, 5, 6]);
  expect(source.offers([5, 6])).toEqual([{ tokenId: 7, length: 2 }]);
  await source.begin();
  expect(source.offers([5, 6])).toEqual([]);
});

test("lengths that are none are refused", async () => {
  expect(await refusalOf(() => new NgramIndex(3, 2))).toBe("n-grams: expected 1 <= shortest <= longest, got 3, 2");
});
