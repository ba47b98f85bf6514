/** Owns the law of decoding: draft-and-verify settles what the target alone would, whoever drafts. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { GREEDY } from "../../src/runtime/sampler.js";
import { plainRounds, speculativeRounds } from "../../src/runtime/decoding.js";
import { DraftModel, FixedDrafts, type Drafter } from "../../src/runtime/drafter.js";
import { IndexMap } from "../../src/runtime/indexMap.js";
import { NgramDrafts } from "../../src/runtime/ngram.js";
import { PaddedModel, paddedRows } from "../../src/runtime/padding.js";
import { ScriptedModel, mixedScript, take, trimmedScript } from "./fakes.js";

const VOCAB = 12;

/** The ids of whole answers: until the context is full. */
async function answer(target: ScriptedModel, policy: Drafter | null, prompt: readonly number[]): Promise<number[]> {
  const rounds = policy === null ? plainRounds(target, prompt) : speculativeRounds(target, policy, prompt);
  return (await take(rounds, Infinity)).flatMap((turn) => turn.tokenIds);
}

const prompts = fc.array(fc.nat(VOCAB - 1), { minLength: 1, maxLength: 9 });
const keptIds = fc.uniqueArray(fc.nat(VOCAB - 1), { minLength: 1 }).map((ids) => ids.sort((one, other) => one - other));

test("any drafter, however trimmed and however unlike, leaves the target's text as it is", async () => {
  await fc.assert(
    fc.asyncProperty(prompts, keptIds, fc.nat(2), fc.integer({ min: 1, max: 6 }), async (prompt, ids, salt, length) => {
      const map = new IndexMap(ids, VOCAB);
      const drafter = new ScriptedModel(trimmedScript(mixedScript(VOCAB, salt), map), map.draftVocabSize, 30);
      const target = new ScriptedModel(mixedScript(VOCAB, 0), VOCAB, 40);
      const alone = await answer(new ScriptedModel(mixedScript(VOCAB, 0), VOCAB, 40), null, prompt);
      expect(await answer(target, new FixedDrafts(new DraftModel(drafter, map), length), prompt)).toEqual(alone);
      expect(alone.length).toBe(40 - prompt.length + 1);
    }),
  );
});

test("looked-up drafts leave the target's text as it is", async () => {
  await fc.assert(
    fc.asyncProperty(prompts, fc.integer({ min: 1, max: 6 }), async (prompt, length) => {
      const script = mixedScript(VOCAB, 1);
      const alone = await answer(new ScriptedModel(script, VOCAB, 60), null, prompt);
      expect(await answer(new ScriptedModel(script, VOCAB, 60), new NgramDrafts(length), prompt)).toEqual(alone);
    }),
  );
});

test("padded blocks leave the text as it is, though the target reads more rows", async () => {
  await fc.assert(
    fc.asyncProperty(prompts, fc.integer({ min: 1, max: 3 }), async (prompt, length) => {
      const script = mixedScript(VOCAB, 0);
      const inner = new ScriptedModel(script, VOCAB, 40);
      const padded = new PaddedModel(inner, (rows) => paddedRows(rows, [], "webgpu"));
      const drafter = new DraftModel(new ScriptedModel(mixedScript(VOCAB, 1), VOCAB), IndexMap.identity(VOCAB));
      const alone = await answer(new ScriptedModel(script, VOCAB, 40), null, prompt);
      const rounds = await take(speculativeRounds(padded, new FixedDrafts(drafter, length), prompt), Infinity);
      expect(rounds.flatMap((turn) => turn.tokenIds)).toEqual(alone);
    }),
  );
});

describe("a drafter that is the target itself", () => {
  test("has every draft accepted, and the target reads each block once", async () => {
    const target = new ScriptedModel(mixedScript(VOCAB, 0), VOCAB, 64);
    const drafter = new DraftModel(new ScriptedModel(mixedScript(VOCAB, 0), VOCAB, 64), IndexMap.identity(VOCAB));
    const [, ...rounds] = await take(speculativeRounds(target, new FixedDrafts(drafter, 3), [1, 2, 3]), 6);
    expect(rounds.map((turn) => [turn.drafted, turn.accepted, turn.tokenIds.length])).toEqual(Array(5).fill([3, 3, 4]));
    expect(target.passes.slice(1).map((pass) => pass.length)).toEqual(Array(5).fill(4));
  });
});

test("log-probabilities are the target's own of what was settled, whoever drafted, and left out unless asked for", async () => {
  const script = mixedScript(VOCAB, 0);
  const drafter = new DraftModel(new ScriptedModel(mixedScript(VOCAB, 0), VOCAB, 40), IndexMap.identity(VOCAB));
  const target = (): ScriptedModel => new ScriptedModel(script, VOCAB, 40);
  const turns = await take(speculativeRounds(target(), new FixedDrafts(drafter, 3), [1, 2], GREEDY, true), 5);
  const text = [1, 2];
  for (const turn of turns) {
    const wanted = turn.tokenIds.map((tokenId) => {
      const row = script(text);
      text.push(tokenId);
      return (row[tokenId] as number) - Math.log(row.reduce((sum, score) => sum + Math.exp(score), 0));
    });
    expect(turn.logProbs?.length).toBe(turn.tokenIds.length);
    turn.logProbs?.forEach((found, place) => expect(found).toBeCloseTo(wanted[place] as number, 5));
  }
  expect(turns.some((turn) => turn.accepted > 0)).toBe(true);
  expect(await take(plainRounds(target(), [1, 2]), 2)).toEqual((await take(plainRounds(target(), [1, 2], GREEDY, true), 2)).map(({ logProbs: _, ...turn }) => turn));
});

test("a closed answer leaves the memory at what was settled, and the next one reads only what is new", async () => {
  const target = new ScriptedModel(mixedScript(VOCAB, 0), VOCAB, 64);
  const drafter = new DraftModel(new ScriptedModel(mixedScript(VOCAB, 1), VOCAB, 64), IndexMap.identity(VOCAB));
  const turns = await take(speculativeRounds(target, new FixedDrafts(drafter, 3), [1, 2, 3, 4]), 4);
  const text = [1, 2, 3, 4, ...turns.flatMap((turn) => turn.tokenIds)];
  expect(target.tokenIds).toEqual(text.slice(0, -1));
  const before = target.passes.length;
  await take(speculativeRounds(target, new FixedDrafts(drafter, 3), [...text, 5]), 1);
  expect(target.passes.slice(before).flat()).toEqual([text.at(-1), 5]);
});
