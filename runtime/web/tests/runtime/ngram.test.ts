/** Owns the law of n-gram drafts: what followed the longest known ending at its latest place. */

import { expect, test } from "vitest";
import { GREEDY } from "../../src/runtime/sampler.js";
import { NgramDrafts, NgramIndex } from "../../src/runtime/ngram.js";
import { refusalOf } from "./fakes.js";

test("the longest known ending decides, at its latest earlier place", () => {
  const index = new NgramIndex();
  index.extend([1, 2, 3, 9, 2, 3, 7, 1, 2, 3]);
  expect(index.find([1, 2, 3])).toEqual({ tokenId: 9, length: 3 });
  expect(index.find([8, 2, 3])).toEqual({ tokenId: 7, length: 2 });
  expect(index.find([3])).toBeNull();
});

test("drafts go on from what they looked up, up to their length and the room", async () => {
  const text = [5, 6, 7, 8, 5, 6];
  const policy = new NgramDrafts(4);
  const ids = async (room: number): Promise<number[]> => (await policy.propose(text, room, GREEDY)).map((proposal) => proposal.tokenId);
  await policy.begin();
  expect(await ids(9)).toEqual([7, 8, 5, 6]);
  expect(await ids(2)).toEqual([7, 8]);
});

test("lengths that are none are refused", async () => {
  expect(await refusalOf(() => new NgramIndex(3, 2))).toBe("n-grams: expected 1 <= shortest <= longest, got 3, 2");
});
