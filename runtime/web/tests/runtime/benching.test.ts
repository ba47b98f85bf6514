/** Owns the laws of benches: ways in turn, times on the given clock, and ratios to the target alone. */

import { expect, test } from "vitest";
import { bench, type Benched } from "../../src/runtime/benching.js";
import { IndexMap } from "../../src/runtime/indexMap.js";
import type { LanguageModel, Pass } from "../../src/runtime/model.js";
import { ModelTokenSource } from "../../src/runtime/sources.js";
import { countRounds, medianInterval, memoryBoundSpeedUp } from "../../src/runtime/statistics.js";
import { ScriptedModel, mixedScript, refusalOf, untimed } from "./fakes.js";

const VOCAB = 12;

/** A model whose every pass takes `seconds` of a clock of its own. */
class SlowModel extends ScriptedModel implements LanguageModel {
  constructor(
    salt: number,
    private readonly clock: { now: number },
    private readonly seconds: number,
  ) {
    super(mixedScript(VOCAB, salt), VOCAB, 128);
  }

  override async read(tokenIds: readonly number[]): Promise<Pass> {
    this.clock.now += this.seconds;
    return super.read(tokenIds);
  }
}

function benched(clock: { now: number }, drafterSalt: number, full: boolean): Benched {
  const open = (salt: number) => new ModelTokenSource(new SlowModel(salt, clock, 1), IndexMap.identity(VOCAB));
  return {
    target: new SlowModel(0, clock, 4),
    drafters: { trimmed: open(drafterSalt), full: full ? open(0) : null },
    draftLength: 3,
    limits: { maxNewTokens: 17, endTokenIds: [] },
    ratios: { trimmed: { parameters: 0.25, bytes: 0.5 } },
  };
}

test("with a drafter that is always right the figures are those of arithmetic", async () => {
  const clock = { now: 0 };
  const told: string[] = [];
  const report = await bench(benched(clock, 0, true), [[1, 2, 3], [4, 5]], () => clock.now, (what, done, all) => told.push(`${what} ${done}/${all}`));
  const { plain, full, trimmed } = report.ways;
  expect(Object.keys(report.ways)).toEqual(["plain", "full", "trimmed"]);
  expect([report.prompts, report.max_new_tokens, told.length, told.at(-1)]).toEqual([2, 17, 9, "bench runs 9/9"]);
  expect([plain?.tokens_per_second.median, plain?.rounds, plain?.tokens, plain?.equal_texts]).toEqual([0.25, 32, 32, 2]);
  expect(trimmed).toEqual({ ...full, mbsu_by_parameters: 4 / 1.75, mbsu_by_bytes: 4 / 2.5 });
  expect([trimmed?.block_efficiency, trimmed?.acceptance_rate, trimmed?.rounds, trimmed?.equal_texts]).toEqual([4, 1, 8, 2]);
  expect([trimmed?.tokens_per_second.median, trimmed?.speed_up.median]).toEqual([4 / 7, 16 / 7]);
  expect([trimmed?.target_milliseconds, trimmed?.drafter_milliseconds, trimmed?.overhead_milliseconds]).toEqual([4000, 3000, 0]);
  expect(trimmed?.mbsu_by_seconds).toBe(4 / 1.75);
});

test("a poor drafter changes no text, and without the full one two ways run", async () => {
  const clock = { now: 0 };
  const report = await bench(benched(clock, 1, false), [[1, 2, 3]], () => clock.now, () => {});
  expect(Object.keys(report.ways)).toEqual(["plain", "trimmed"]);
  expect(report.ways.trimmed?.equal_texts).toBe(1);
  expect(report.ways.trimmed?.acceptance_rate).toBeLessThan(1);
  expect(report.ways.trimmed?.speed_up.median).toBeLessThan(1);
});

test("an abort throws its reason, and no prompts are refused", async () => {
  const clock = { now: 0 };
  const abort = new AbortController();
  abort.abort(new Error("stopped"));
  expect(await refusalOf(() => bench(benched(clock, 0, false), [[1]], () => 0, () => {}, abort.signal))).toBe("stopped");
  expect(await refusalOf(() => bench(benched(clock, 0, false), [], () => 0, () => {}))).toBe("bench needs at least one prompt, got 0");
});

test("quartiles lie between neighbours as numpy's do, and counts know what the target looked at", () => {
  expect(medianInterval([4, 1, 2, 3])).toEqual({ median: 2.5, low: 1.75, high: 3.25 });
  expect(medianInterval([7])).toEqual({ median: 7, low: 7, high: 7 });
  const rounds = [untimed([1, 2], 3, 1), untimed([1, 2, 3], 3, 3), untimed([1], 0, 0)];
  expect(countRounds(rounds)).toEqual({ rounds: 3, tokens: 6, draft_tokens_proposed: 6, draft_tokens_evaluated: 5, draft_tokens_accepted: 4 });
  expect(memoryBoundSpeedUp(3, 0.5, 2)).toBe(1.5);
});
