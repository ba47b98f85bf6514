/** Owns the law of decoding: draft-and-verify commits what the target alone would, whoever drafts. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { GREEDY, plainRounds, speculativeRounds } from "../../src/runtime/decoding.js";
import type { Drafter } from "../../src/runtime/drafter.js";
import { IndexMap } from "../../src/runtime/indexMap.js";
import type { Pass } from "../../src/runtime/model.js";
import { Padded } from "../../src/runtime/padding.js";
import { buildDrafter } from "../../src/runtime/policies.js";
import type { Round } from "../../src/runtime/rounds.js";
import { ModelTokenSource } from "../../src/runtime/sources.js";
import { FixedLength } from "../../src/runtime/policies.js";
import { TokenDrafter } from "../../src/runtime/tokenDrafter.js";
import { ScriptedModel, mixedScript, take, trimmedScript } from "./fakes.js";

const VOCAB = 12;

/** Drafts of `length` tokens by a model. */
function fixed(model: ScriptedModel, length: number, map = IndexMap.identity(VOCAB)): Drafter {
  return new TokenDrafter(new ModelTokenSource(model, map), new FixedLength(length));
}

const ngrams = (draftLength: number): Drafter =>
  buildDrafter({ name: "ngram", draftLength }, { source: () => expect.fail("a look-up reads no model") });

/** The ids of whole answers: until the context is full. */
async function answer(target: ScriptedModel, drafter: Drafter | null, prompt: readonly number[]): Promise<number[]> {
  const rounds = drafter === null ? plainRounds(target, prompt) : speculativeRounds(target, drafter, prompt);
  return (await take(rounds, Infinity)).flatMap((round) => round.tokenIds);
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
      expect(await answer(target, fixed(drafter, length, map), prompt)).toEqual(alone);
      expect(alone.length).toBe(40 - prompt.length + 1);
    }),
  );
});

test("looked-up drafts leave the target's text as it is", async () => {
  await fc.assert(
    fc.asyncProperty(prompts, fc.integer({ min: 1, max: 6 }), async (prompt, length) => {
      const script = mixedScript(VOCAB, 1);
      const alone = await answer(new ScriptedModel(script, VOCAB, 60), null, prompt);
      expect(await answer(new ScriptedModel(script, VOCAB, 60), ngrams(length), prompt)).toEqual(alone);
    }),
  );
});

test("padded blocks leave the text as it is, though the target reads more rows", async () => {
  await fc.assert(
    fc.asyncProperty(prompts, fc.integer({ min: 1, max: 3 }), async (prompt, length) => {
      const script = mixedScript(VOCAB, 0);
      const inner = new ScriptedModel(script, VOCAB, 40);
      const padded = new Padded(inner, [], "webgpu");
      const drafter = new ScriptedModel(mixedScript(VOCAB, 1), VOCAB);
      const alone = await answer(new ScriptedModel(script, VOCAB, 40), null, prompt);
      const rounds = await take(speculativeRounds(padded, fixed(drafter, length), prompt), Infinity);
      expect(rounds.flatMap((round) => round.tokenIds)).toEqual(alone);
    }),
  );
});

describe("a drafter that is the target itself", () => {
  test("has every draft accepted, and the target reads each block once", async () => {
    const target = new ScriptedModel(mixedScript(VOCAB, 0), VOCAB, 64);
    const drafter = new ScriptedModel(mixedScript(VOCAB, 0), VOCAB, 64);
    const [, ...rounds] = await take(speculativeRounds(target, fixed(drafter, 3), [1, 2, 3]), 6);
    expect(rounds.map((round) => [round.drafted, round.accepted, round.tokenIds.length])).toEqual(Array(5).fill([3, 3, 4]));
    expect(target.passes.slice(1).map((pass) => pass.length)).toEqual(Array(5).fill(4));
  });
});

test("log-probabilities are the target's own of what was committed, whoever drafted, and left out unless asked for", async () => {
  const script = mixedScript(VOCAB, 0);
  const drafter = new ScriptedModel(mixedScript(VOCAB, 0), VOCAB, 40);
  const target = (): ScriptedModel => new ScriptedModel(script, VOCAB, 40);
  const rounds = await take(speculativeRounds(target(), fixed(drafter, 3), [1, 2], GREEDY, { logProbs: true }), 5);
  const text = [1, 2];
  for (const round of rounds) {
    const wanted = round.tokenIds.map((tokenId) => {
      const row = script(text);
      text.push(tokenId);
      return (row[tokenId] as number) - Math.log(row.reduce((sum, score) => sum + Math.exp(score), 0));
    });
    expect(round.logProbs?.length).toBe(round.tokenIds.length);
    round.logProbs?.forEach((found, place) => expect(found).toBeCloseTo(wanted[place] as number, 5));
  }
  expect(rounds.some((round) => round.accepted > 0)).toBe(true);
  expect(await take(plainRounds(target(), [1, 2]), 2)).toEqual((await take(plainRounds(target(), [1, 2], GREEDY, { logProbs: true }), 2)).map(({ logProbs: _, ...round }) => round));
});

/** A model whose every pass takes `seconds` on the clock that `elapse` moves. */
class SlowModel extends ScriptedModel {
  constructor(
    private readonly seconds: number,
    private readonly elapse: (seconds: number) => void,
  ) {
    super(mixedScript(VOCAB, 0), VOCAB, 64);
  }

  override async read(tokenIds: readonly number[]): Promise<Pass> {
    this.elapse(this.seconds);
    return super.read(tokenIds);
  }
}

test("a round has the seconds of its own passes, the first one those of the prompt", async () => {
  let now = 0;
  const elapse = (seconds: number): void => void (now += seconds);
  const source = new ModelTokenSource(new SlowModel(1, elapse), IndexMap.identity(VOCAB));
  const drafter = buildDrafter({ name: "fixed", draftLength: 3 }, { source: () => source, clock: () => now });
  const prompt = new Array<number>(40).fill(1); // two pieces
  const timed = await take(speculativeRounds(new SlowModel(10, elapse), drafter, prompt, GREEDY, { clock: () => now }), 3);
  expect(timed.map((round) => [round.targetSeconds, round.drafterSeconds])).toEqual([[20, 2], [10, 3], [10, 3]]);
  source.rewind(0);
  const [first] = await take(speculativeRounds(new SlowModel(10, elapse), drafter, prompt), 1);
  expect([first?.targetSeconds, first?.drafterSeconds]).toEqual([0, 0]);
});

test("a drafter is asked, brought back to what the target has read, and shown what became of its draft", async () => {
  const calls: unknown[] = [];
  const drafter: Drafter = {
    begin: async (promptIds) => void calls.push(["begin", [...promptIds]]),
    propose: async (committed, limit) => {
      calls.push(["propose", committed.length, limit]);
      return { tokens: [{ tokenId: VOCAB - 1, byDrafter: null }], seconds: 0 };
    },
    rewind: (length) => void calls.push(["rewind", length]),
    observe: (round) => void calls.push(["observe", round]),
  };
  const target = new ScriptedModel(() => Array.from({ length: VOCAB }, (_, id) => id), VOCAB, 6);
  const rounds: Round[] = [];
  for await (const round of speculativeRounds(target, drafter, [1, 2])) rounds.push(round);
  expect(calls).toEqual([
    ["begin", [1, 2]],
    ["propose", 3, 3], ["rewind", 4], ["observe", rounds[1]],
    ["propose", 5, 1], ["rewind", 6], ["observe", rounds[2]],
  ]);
});

test("a closed answer leaves the memory at what was committed, and the next one reads only what is new", async () => {
  const target = new ScriptedModel(mixedScript(VOCAB, 0), VOCAB, 64);
  const drafter = new ScriptedModel(mixedScript(VOCAB, 1), VOCAB, 64);
  const rounds = await take(speculativeRounds(target, fixed(drafter, 3), [1, 2, 3, 4]), 4);
  const text = [1, 2, 3, 4, ...rounds.flatMap((round) => round.tokenIds)];
  expect(target.tokenIds).toEqual(text.slice(0, -1));
  const before = target.passes.length;
  await take(speculativeRounds(target, fixed(drafter, 3), [...text, 5]), 1);
  expect(target.passes.slice(before).flat()).toEqual([text.at(-1), 5]);
});
