import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { addRound, begin, figures } from "../../../src/page/words/live.js";
import { untimed } from "../../runtime/fakes.js";

const round = (tokens: number, drafted: number, accepted: number) => untimed(new Array<number>(tokens).fill(1), drafted, accepted);

describe("the figures of an answer", () => {
  it("are unknown before anything came", () =>
    expect(figures(begin(5))).toEqual({ tokensPerSecond: null, acceptanceRate: null, blockEfficiency: null, firstSeconds: null }));

  it("leave the prompt's own pass out of everything but the wait", () =>
    expect(figures(addRound(begin(5), round(1, 0, 0), 7))).toEqual({
      tokensPerSecond: null,
      acceptanceRate: null,
      blockEfficiency: null,
      firstSeconds: 2,
    }));

  it("count only drafts that were examined: those after a refusal say nothing", () => {
    const first = addRound(begin(0), round(1, 0, 0), 1);
    const counts = addRound(addRound(first, round(3, 2, 2), 2), round(1, 4, 0), 3);
    expect(figures(counts)).toEqual({ tokensPerSecond: 2, acceptanceRate: 2 / 3, blockEfficiency: 2, firstSeconds: 1 });
  });

  it("hold: tau is tokens over passes, and acceptance lies in 0..1, whatever the rounds", () => {
    const anyRound = fc.integer({ min: 0, max: 8 }).chain((drafted) => fc.integer({ min: 0, max: drafted }).map((accepted) => round(accepted + 1, drafted, accepted)));
    fc.assert(
      fc.property(fc.array(anyRound, { minLength: 1 }), (rounds) => {
        const first = addRound(begin(0), round(1, 0, 0), 1);
        const found = figures(rounds.reduce((counts, each, index) => addRound(counts, each, 2 + index), first));
        const tokens = rounds.reduce((sum, each) => sum + each.tokenIds.length, 0);
        expect(found.blockEfficiency).toBeCloseTo(tokens / rounds.length);
        expect(found.tokensPerSecond).toBeCloseTo(tokens / rounds.length);
        if (found.acceptanceRate !== null) expect(found.acceptanceRate).toBeLessThanOrEqual(1);
      }),
    );
  });
});
