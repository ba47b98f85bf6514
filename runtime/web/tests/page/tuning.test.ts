// @vitest-environment happy-dom
import { describe, expect, it } from "vitest";
import type { OpenEngine, Tuned } from "../../src/page/ports.js";
import { EdgedraftError } from "../../src/runtime/index.js";
import { MANIFEST, chatting, fakeEngine, fakeWorld, openPage, piece, settled, words } from "./fakes.js";

const PLAN = { ...MANIFEST.plan, draft_length: 3, predicted_tokens_per_second: 26, predicted_plain_tokens_per_second: 20, policy: "fixed" };

function tunedEngine(plan: Partial<Tuned["plan"]>, kept = true) {
  return { ...fakeEngine([piece("a", true)]), tune: async () => ({ plan: { ...PLAN, ...plan }, kept }) };
}

describe("a page that tuned itself", () => {
  it.each([
    [{}, { policy: "fixed", drafter: "trimmed", draftLength: 3 }, "3 drafts a round by the trimmed drafter, expected to reach 1.30×"],
    [{ policy: "ngram", draft_length: 2 }, { policy: "ngram", draftLength: 2 }, "2 drafts a round by n-gram lookup, expected to reach 1.30×"],
    [{ speculate: false, predicted_tokens_per_second: 16 }, { policy: "plain" }, "do not speculate; drafting is expected to reach 0.80×"],
  ])("chats by the plan and says so in one line: %j", async (change, asked, sentence) => {
    const engine = tunedEngine(change);
    const { at, say } = await chatting(engine);
    expect(words(at("tuned"))).toBe(`Tuned on this device: ${sentence} [1.10–1.30] the target's own speed.`);
    await say("hello");
    expect(engine.asked[0]?.options).toMatchObject(asked);
  });

  it("holds the answer against the tuned plan's figures, also on another provider", async () => {
    const { at } = await chatting({ ...tunedEngine({}), providers: { target: "wasm", drafter: "wasm" } });
    expect(words(at("live-rate").parentElement as HTMLElement)).toContain("planned 26");
  });

  it("says where the browser keeps nothing", async () => {
    const { at } = await chatting(tunedEngine({}, false));
    expect(words(at("tuned"))).toContain("This browser keeps nothing: the next visit tunes again.");
  });
});

describe("a page that is not tuned", () => {
  it("says nothing of a bundle that cannot be tuned, and drafts by its plan", async () => {
    const engine = fakeEngine([piece("a", true)]);
    const { has, say } = await chatting(engine);
    expect(has("tuned")).toBe(false);
    await say("hello");
    expect(engine.asked[0]?.options).toMatchObject({ policy: "fixed", draftLength: MANIFEST.plan.draft_length });
  });

  it("says why tuning failed, and drafts by the bundle's plan", async () => {
    const tune = async () => Promise.reject(new EdgedraftError("tuning: expected a longer context", { got: 12 }));
    const engine = { ...fakeEngine([piece("a", true)]), tune };
    const { at, say } = await chatting(engine);
    expect(words(at("tuned"))).toBe("Not tuned on this device (tuning: expected a longer context): the bundle's own plan is used.");
    await say("hello");
    expect(engine.asked[0]?.options).toMatchObject({ policy: "fixed", draftLength: MANIFEST.plan.draft_length });
  });

  it("shows how far tuning is, and is ready at once where it is skipped", async () => {
    const tune: OpenEngine["tune"] = (progress, signal) => {
      progress("timing passes", 40, 100);
      return new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(new Error("skipped"))));
    };
    const engine = { ...fakeEngine([]), tune };
    const { at, has, click } = await openPage(fakeWorld({ openEngine: async () => engine }).ports);
    await click("load");
    expect(words(at("condition"))).toBe("Tuning 40 %");
    expect(words(at("panel-start"))).toContain("Choosing how to draft on this device: 40 %");
    expect(words(at("load-cancel"))).toBe("Skip");
    await click("load-cancel");
    await settled();
    expect([has("tuned"), words(at("condition"))]).toEqual([false, "Ready"]);
  });
});
