/** Owns the laws of sampling: the filters keep what they promise, and speculation keeps the target's distribution. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { sampled } from "../../src/runtime/decoding.js";
import { RandomSampler, type DraftToken } from "../../src/runtime/sampler.js";
import { IndexMap } from "../../src/runtime/indexMap.js";
import { FlatLogits } from "../../src/runtime/model.js";
import { random, type Random } from "../../src/runtime/random.js";
import { adjusted, checkedSampling, draw, keeps, probabilities, residual, verifyDraws, type Probabilities } from "../../src/runtime/sampling.js";
import { refusalOf } from "./fakes.js";

const VOCAB = 8;
const DRAWS = 40_000;
const WARM = checkedSampling({ temperature: 1 });

const rows = fc
  .array(fc.integer({ min: -20, max: 20 }), { minLength: VOCAB, maxLength: VOCAB })
  .map((values) => Float32Array.from(values, (value) => value / 4));

/** χ² of counts against expected shares, over the cells that can occur. */
function chiSquare(counts: readonly number[], shares: ArrayLike<number>): number {
  const all = counts.reduce((sum, count) => sum + count, 0);
  return counts.reduce((sum, count, id) => {
    const expected = all * (shares[id] as number);
    return expected > 0 ? sum + (count - expected) ** 2 / expected : sum + (count > 0 ? Infinity : 0);
  }, 0);
}

/** 1 in 100 000 for 7 degrees of freedom. */
const UNLIKELY = 36;

function countFirst(round: () => number): number[] {
  const counts = new Array<number>(VOCAB).fill(0);
  for (let turn = 0; turn < DRAWS; turn += 1) counts[round()]! += 1;
  return counts;
}

const TARGET = Float32Array.from([1, 0.5, -1, 2, 0, -0.5, 1.5, -2]);
const DRAFTER = Float32Array.from([2, -1, 0.5]);
const MAP = new IndexMap([0, 3, 5], VOCAB);

/** Shares of the drafter's tokens at the target's ids. */
function spread(shares: Probabilities): Probabilities {
  return Float64Array.from({ length: VOCAB }, (_, id) => (MAP.holds([id]) ? (shares[MAP.toDraft([id])[0] as number] as number) : 0));
}

describe("the first token of a drafted round", () => {
  const target = probabilities(TARGET, WARM);

  test("follows the target's distribution, though the drafter lacks five of the eight tokens", () => {
    const { sampler, verifier } = sampled(WARM, random(3));
    const logits = new FlatLogits(Float32Array.from([...TARGET, ...TARGET]), 2, VOCAB);
    const counts = countFirst(() => verifier.verify([sampler.draw(DRAFTER, MAP, []) as DraftToken], logits, [])[0] as number);
    expect(chiSquare(counts, target)).toBeLessThan(UNLIKELY);
  });

  test("would not with a residual that forgets the drafter (negative control)", () => {
    const rng = random(3);
    const drafted = spread(probabilities(DRAFTER, WARM));
    const wrong = (): number => {
      const draft = draw(drafted, rng);
      return keeps(draft, target, drafted, rng) ? draft : draw(target, rng);
    };
    expect(chiSquare(countFirst(wrong), target)).toBeGreaterThan(10 * UNLIKELY);
  });

  test("follows the target's distribution where the draft was looked up", () => {
    const rng = random(5);
    const counts = countFirst(() => verifyDraws([3], [null], () => target, rng)[0] as number);
    expect(chiSquare(counts, target)).toBeLessThan(UNLIKELY);
  });
});

test("the second token follows the target's distribution after an accepted first one", () => {
  const second = probabilities(Float32Array.from([0, 0, 1, 1, 2, 2, 0, 0]), WARM);
  const rng = random(7);
  const counts = new Array<number>(VOCAB).fill(0);
  const certainly = probabilities(TARGET, checkedSampling({ temperature: 0 }));
  for (let turn = 0; turn < DRAWS; turn += 1) {
    counts[verifyDraws([3], [certainly], (position) => (position === 0 ? certainly : second), rng)[1] as number]! += 1;
  }
  expect(chiSquare(counts, second)).toBeLessThan(UNLIKELY);
});

test("distributions sum to 1, keep the best token, and the filters keep what they promise", () => {
  fc.assert(
    fc.property(rows, fc.integer({ min: 0, max: VOCAB }), fc.double({ min: 0.01, max: 1, noNaN: true }), fc.double({ min: 0, max: 1, noNaN: true }), (row, topK, topP, minP) => {
      const shares = probabilities(row, checkedSampling({ topK, topP, minP }));
      expect(shares.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 9);
      expect(shares[row.indexOf(Math.max(...row))]).toBeGreaterThan(0);
      if (topK > 0) expect(shares.filter((share) => share > 0).length).toBeLessThanOrEqual(Math.max(topK, equalsOf(row, topK)));
    }),
  );
});

/** Tokens whose logit is at least the `count`-th best: equals stay together. */
function equalsOf(row: Float32Array, count: number): number {
  const worst = [...row].sort((one, other) => other - one)[count - 1] as number;
  return row.filter((score) => score >= worst).length;
}

test("the nucleus is the fewest most likely tokens that reach top_p", () => {
  fc.assert(
    fc.property(rows, fc.double({ min: 0.01, max: 0.99, noNaN: true }), (row, topP) => {
      const whole = probabilities(row, WARM);
      const order = [...whole.keys()].sort((one, other) => (whole[other] as number) - (whole[one] as number) || one - other);
      const wanted = new Set<number>();
      let reached = 0;
      for (const id of order) {
        if (reached >= topP) break;
        wanted.add(id);
        reached += whole[id] as number;
      }
      const kept = probabilities(row, checkedSampling({ topP }));
      expect(new Set([...kept.keys()].filter((id) => (kept[id] as number) > 0))).toEqual(wanted);
    }),
  );
});

test("the repetition penalty makes seen tokens less likely, whatever their sign", () => {
  const settings = checkedSampling({ repetitionPenalty: 2 });
  expect(Array.from(adjusted(Float32Array.from([2, -2, 2]), settings, [0, 1], new Map()))).toEqual([1, -4, 2]);
});

test("a bias adds to its tokens' logits after the penalty, -Infinity shuts them out, and one must be left", async () => {
  const settings = checkedSampling({ repetitionPenalty: 2, logitBias: { 1: 3, 2: -Infinity } });
  expect(Array.from(adjusted(Float32Array.from([2, -2, 2]), settings, [0, 1], settings.logitBias))).toEqual([1, -1, -Infinity]);
  expect(Array.from(probabilities(Float32Array.from([0, 0, -Infinity]), WARM))).toEqual([0.5, 0.5, 0]);
  const none = new Map([0, 1, 2].map((id) => [id, -Infinity]));
  expect(await refusalOf(() => adjusted(new Float32Array(3), WARM, [], none))).toBe("logit_bias must leave a token to choose, got none");
});

test("without penalty and bias the logits stay as they are", () => {
  expect(adjusted(TARGET, WARM, [], WARM.logitBias)).toBe(TARGET);
});

test("a drafted round follows the biased distribution, by a trimmed drafter that gets its share of the bias", () => {
  const biased = checkedSampling({ logitBias: { 0: 1, 3: -Infinity, 7: 4 } });
  const wanted = probabilities(adjusted(TARGET, biased, [], biased.logitBias), biased);
  const { sampler, verifier } = sampled(biased, random(3));
  const logits = new FlatLogits(Float32Array.from([...TARGET, ...TARGET]), 2, VOCAB);
  const counts = countFirst(() => {
    const draft = sampler.draw(DRAFTER, MAP, []) as DraftToken;
    expect(draft.tokenId).not.toBe(3);
    return verifier.verify([draft], logits, [])[0] as number;
  });
  expect(counts[3]).toBe(0);
  expect(chiSquare(counts, wanted)).toBeLessThan(UNLIKELY);
  expect(chiSquare(counts, probabilities(TARGET, WARM))).toBeGreaterThan(10 * UNLIKELY);
});

test("a drawn token brings the distribution it was drawn from, at the target's ids", () => {
  const { byDrafter } = new RandomSampler(WARM, random(3)).draw(DRAFTER, MAP, []) as DraftToken;
  expect(byDrafter).toEqual(spread(probabilities(DRAFTER, WARM)));
});

test("a draw never takes a token of probability 0, at either end of the random numbers", () => {
  const shares = Float64Array.from([0, 0.5, 0, 0.5, 0]) as Probabilities;
  const at = (value: number): Random => () => value;
  expect([draw(shares, at(0)), draw(shares, at(0.9999999999999999)), draw(shares, at(0.5))]).toEqual([1, 3, 3]);
});

test("where rounding leaves no residual, the target's own distribution stands in", () => {
  const shares = Float64Array.from([0.25, 0.75]);
  expect(Array.from(residual(shares, Float64Array.from([0.5, 0.8])))).toEqual([0.25, 0.75]);
});

test("temperature 0 draws the best token, the smaller of equal ones", () => {
  const cold = checkedSampling({ temperature: 0 });
  expect(Array.from(probabilities(Float32Array.from([1, 3, 3]), cold))).toEqual([0, 1, 0]);
});

test("a seed that is not whole is refused", async () => {
  expect(await refusalOf(() => random(0.5))).toBe("seed must be a whole number, got 0.5");
});

test("a seed repeats its numbers and another gives others, all in 0..1 and even", () => {
  const numbers = (seed: number): number[] => Array.from({ length: 5 }, random(seed));
  expect(numbers(1)).toEqual(numbers(1));
  expect(numbers(1)).not.toEqual(numbers(2));
  const rng = random(9);
  const cells = new Array<number>(VOCAB).fill(0);
  for (let turn = 0; turn < DRAWS; turn += 1) cells[Math.floor(rng() * VOCAB)]! += 1;
  expect(chiSquare(cells, new Float64Array(VOCAB).fill(1 / VOCAB))).toBeLessThan(UNLIKELY);
});

test.each([
  [{ temperature: 0.00001 }, "temperature must be 0, or 0.0001 or more, got 0.00001"],
  [{ topK: -1 }, "top_k must be 0 or more, got -1"],
  [{ topP: 0 }, "top_p must lie above 0 and up to 1, got 0"],
  [{ minP: 2 }, "min_p must lie in 0..1, got 2"],
  [{ repetitionPenalty: 0 }, "repetition_penalty must be above 0, got 0"],
  [{ logitBias: { 7: Infinity } }, "logit_bias: token 7: expected a number or -inf, got inf"],
  [{ logitBias: { 7: NaN } }, "logit_bias: token 7: expected a number or -inf, got nan"],
])("settings %j are refused", async (settings, message) => {
  expect(await refusalOf(() => checkedSampling(settings))).toBe(message);
});

test("logits that are no numbers are refused by name", async () => {
  const sampler = new RandomSampler(WARM, random(1));
  const broken = Float32Array.from([1, NaN, 0]);
  const settled = (): DraftToken | null => sampler.draw(broken, MAP, []);
  expect(await refusalOf(settled)).toBe("logits of the drafter must be finite numbers, got NaN or infinity - check the bundle's files or export it again");
});

test("a bias that leaves nothing to draft drafts nothing; one that leaves a token drafts it", () => {
  const banning = (tokens: readonly number[]): RandomSampler => {
    const logitBias = Object.fromEntries(tokens.map((token) => [token, -Infinity]));
    return new RandomSampler(checkedSampling({ temperature: 1, logitBias }), random(3));
  };
  const draftable = Array.from(MAP.targetIds);
  expect(banning(draftable).draw(DRAFTER, MAP, [])).toBeNull();
  expect(banning(draftable.slice(1)).draw(DRAFTER, MAP, [])?.tokenId).toBe(draftable[0]);
});
