/** Owns the laws of tuning in the page: what is timed is what passes take, and a choice holds for its bundle and device. */

import { describe, expect, test } from "vitest";
import { choose } from "../../src/runtime/choosing.js";
import { IndexMap } from "../../src/runtime/indexMap.js";
import type { LanguageModel, Pass } from "../../src/runtime/model.js";
import { passSeconds } from "../../src/runtime/passes.js";
import { ModelTokenSource } from "../../src/runtime/sources.js";
import { MemoryStorage, type Storage } from "../../src/runtime/storage.js";
import { LEAST_TURNS, MOST_TURNS, timeRounds } from "../../src/runtime/timing.js";
import { tunedPlan } from "../../src/runtime/tune.js";
import { Tunings, tuningKey, type TuningKey } from "../../src/runtime/tuning.js";
import { DEVICE, MANIFEST } from "../page/fakes.js";
import { ScriptedModel, mixedScript, refusalOf } from "./fakes.js";

const [VOCAB, CONTEXT] = [32, 512];
const FORECAST = {
  tokens: 100,
  lengths: [
    { draft_length: 1, rounds: 60, full_rounds: 40, accepted: 40, evaluated: 60 },
    { draft_length: 3, rounds: 40, full_rounds: 20, accepted: 60, evaluated: 80 },
  ],
  lookups: [{ draft_length: 2, rounds: [85, 5, 3], accepted: 7, evaluated: 9 }],
};

/** A scripted model whose passes move the clock by `cost` of their rows. */
class TimedModel extends ScriptedModel {
  constructor(
    private readonly time: { now: number },
    private readonly cost: (rows: number) => number,
  ) {
    super(mixedScript(VOCAB, 1), VOCAB, CONTEXT);
  }

  override read(tokenIds: readonly number[]): Promise<Pass> {
    this.time.now += this.cost(tokenIds.length);
    return super.read(tokenIds);
  }
}

/** Time a pair whose target takes 1 s and `row` for each further row, and whose drafter takes `step` a row. */
function timedPair(row: number, step: number, deadline: number, signal?: AbortSignal) {
  const time = { now: 0 };
  const target: LanguageModel = new TimedModel(time, (rows) => 1 + row * (rows - 1));
  const source = new ModelTokenSource(new TimedModel(time, (rows) => step * rows), IndexMap.identity(VOCAB));
  const told: number[] = [];
  const progress = (_what: string, done: number): void => void told.push(done);
  const turns = timeRounds({ target, source, contextLength: CONTEXT }, [1, 2, 3], { clock: () => time.now, deadline, progress, signal });
  return { turns, told };
}

describe("timing", () => {
  test("passes take what they were made to take, by rows, by drafts, and for a row more to read", async () => {
    const { turns, told } = timedPair(0.25, 0.1, 1e6);
    const found = passSeconds((await turns).flat());
    expect(found.target).toHaveLength(9);
    found.target.forEach((seconds, place) => expect(seconds).toBeCloseTo(1 + 0.25 * place, 9));
    expect(found.drafter.next).toBeCloseTo(0.1, 9);
    expect(found.drafter.afterFull).toBeCloseTo(0.1, 9);
    expect((await turns).length).toBe(MOST_TURNS);
    expect(told.at(-1)).toBe(100);
  });

  test("without time there are still enough turns, with short drafts alone", async () => {
    const turns = await timedPair(0.25, 0.1, 0).turns;
    expect(turns).toHaveLength(LEAST_TURNS);
    expect(Math.max(...turns.flat().map((round) => round.drafted))).toBe(2);
  });

  test("an abort ends it with its reason", async () => {
    const abort = new AbortController();
    abort.abort(new Error("skipped"));
    expect(await refusalOf(() => timedPair(0.25, 0.1, 1e6, abort.signal).turns)).toBe("skipped");
  });
});

test.each([
  { row: 0.02, step: 0.02, policy: "fixed", length: 3, speculate: true },
  { row: 0.4, step: 0.1, policy: "fixed", length: 1, speculate: true },
  { row: 0.01, step: 5, policy: "ngram", length: 2, speculate: true },
  { row: 4, step: 2, policy: "fixed", length: 1, speculate: false },
])("the device decides: rows of $row s, drafts of $step s", async ({ row, step, policy, length, speculate }) => {
  const choice = choose(FORECAST, await timedPair(row, step, 1e6).turns);
  const plan = tunedPlan(MANIFEST.plan, choice, "a tested phone");
  expect([plan.policy, plan.draft_length, plan.speculate, plan.device]).toEqual([policy, length, speculate, "a tested phone"]);
  expect(plan.chance_to_pay).toBe(speculate ? 1 : 0);
  expect(plan.speed_up_low).toBeLessThanOrEqual(choice.speedUp.value);
  expect(plan.draft_vocab_size).toBe(MANIFEST.plan.draft_vocab_size);
});

describe("keeping", () => {
  const RUNS = { providers: { target: "wasm", drafter: "wasm" }, threads: 4, onnxruntime: "onnxruntime-web 1.30.0" } as const;
  const plan = { ...MANIFEST.plan, draft_length: 5 };
  const keyOf = (): Promise<TuningKey> => tuningKey(MANIFEST, DEVICE, RUNS);

  test("the next visit finds the plan of the same bundle, device and providers, and no other does", async () => {
    const storage = new MemoryStorage();
    expect(await new Tunings(async () => storage).keep(await keyOf(), plan)).toBe(true);
    const next = new Tunings(async () => storage);
    expect(await next.kept(await keyOf())).toEqual(plan);
    const others = [
      tuningKey({ ...MANIFEST, index_map: "other.safetensors" }, DEVICE, RUNS),
      tuningKey(MANIFEST, { ...DEVICE, user_agent: "another browser" }, RUNS),
      tuningKey(MANIFEST, DEVICE, { ...RUNS, providers: { target: "webgpu", drafter: "wasm" } }),
      tuningKey(MANIFEST, DEVICE, { ...RUNS, threads: 1 }),
    ];
    expect(await Promise.all(others.map(async (key) => next.kept(await key)))).toEqual([null, null, null, null]);
  });

  test("what is damaged is not used", async () => {
    const storage = new MemoryStorage();
    await new Tunings(async () => storage).keep(await keyOf(), { ...plan, draft_length: 0 });
    const [name] = await storage.names();
    expect(await new Tunings(async () => storage).kept(await keyOf())).toBeNull();
    await storage.put(name as string, new TextEncoder().encode("{"));
    expect(await new Tunings(async () => storage).kept(await keyOf())).toBeNull();
  });

  test.each([
    ["keeps files in memory alone", async (): Promise<Storage> => new MemoryStorage()],
    ["refuses its storage", async (): Promise<Storage> => Promise.reject(new Error("denied"))],
  ])("a browser that %s has the plan for this visit", async (_name, open) => {
    const tunings = new Tunings(open);
    expect(await tunings.kept(await keyOf())).toBeNull();
    expect(await tunings.keep(await keyOf(), plan)).toBe(false);
    expect(await tunings.kept(await keyOf())).toEqual(plan);
    tunings.forget();
    expect(await tunings.kept(await keyOf())).toBeNull();
  });
});
