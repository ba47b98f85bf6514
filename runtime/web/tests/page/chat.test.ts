// @vitest-environment happy-dom
import { describe, expect, it } from "vitest";
import { EdgedraftError } from "../../src/runtime/index.js";
import { chatting, fakeEngine, piece, settled, words } from "./fakes.js";

describe("the chat", () => {
  const pieces = [piece("Hel", false), piece("lo ", true), piece("wor", true), piece("ld", false)];

  it("marks what was drafted and kept, and only that; neighbours are one mark", async () => {
    const { at, say } = await chatting(fakeEngine(pieces));
    await say("Hi");
    const marked = [...at("messages").querySelectorAll(".drafted")].map((each) => each.textContent);
    expect(marked).toEqual(["lo wor"]);
    expect(words(at("messages"))).toBe("You: HiAnswer: Hello world");
    expect(words(at("legend"))).toBe("Like this: drafted, and kept by the target");
  });

  it("shows speed, tokens a pass and kept drafts beside what the plan foresaw", async () => {
    const { at, say } = await chatting(fakeEngine(pieces));
    await say("Hi");
    expect(words(at("live-tau"))).toBe("1.00");
    expect(words(at("live-acceptance"))).toBe("100.0 %");
    expect(words(at("live-rate"))).toBe("1.0");
    expect(words(at("live-tau").parentElement as Element)).toBe("tokens a pass (τ)1.00planned 1.75");
  });

  it("tells a screen reader beginnings and ends, not tokens", async () => {
    const { at, say, store } = await chatting(fakeEngine(pieces));
    const said = new Set<string>();
    store.subscribe(() => said.add(store.read().chat.announced));
    await say("Hi");
    expect([...said].filter((line) => line !== "")).toEqual(["Answering", "Answer complete: 3 tokens, 1.0 tokens per second"]);
    expect(at("messages").closest("[aria-live]")).toBeNull();
    expect(at("announcements").getAttribute("aria-live")).toBe("polite");
  });

  it("sends the whole conversation with the plan's draft length, greedy", async () => {
    const engine = fakeEngine(pieces);
    const { say } = await chatting(engine);
    await say("Hi");
    await say("Again");
    expect(engine.asked[1]?.messages).toEqual([
      { role: "user", content: "Hi" },
      { role: "assistant", content: "Hello world" },
      { role: "user", content: "Again" },
    ]);
    expect(engine.asked[1]?.options).toMatchObject({ policy: "fixed", drafter: "trimmed", draftLength: 2, maxNewTokens: 256 });
    expect(engine.asked[1]?.options.sampling).toBeUndefined();
  });

  it("draws tokens with a fresh seed when it is warm", async () => {
    const engine = fakeEngine(pieces);
    const { say, actions } = await chatting(engine);
    actions.chatting.setOptions({ temperature: 0.7 });
    await say("Hi");
    expect(engine.asked[0]?.options).toMatchObject({ sampling: { temperature: 0.7, topP: 0.95 }, seed: 7 });
  });

  it("stops where the user says so and keeps what came", async () => {
    const engine = fakeEngine([]);
    engine.answer = async function* (_messages, { signal }) {
      yield piece("first", false);
      await new Promise<void>((resolve) => signal?.addEventListener("abort", () => resolve()));
      yield piece("second", false);
    };
    const { at, has, say } = await chatting(engine);
    await say("Hi");
    expect(words(at("condition"))).toBe("Answering");
    at("chat-stop").click();
    expect(words(at("chat-stop"))).toBe("Stopping");
    await settled();
    expect(words(at("messages"))).toBe("You: HiAnswer: first");
    expect(has("chat-send")).toBe(true);
  });

  it("shows an error in its own words, keeps the page usable and leaves the lost turn out", async () => {
    const engine = fakeEngine(pieces);
    const works = engine.answer;
    engine.answer = async function* () {
      throw new EdgedraftError("the conversation is longer than 2,048 tokens", { remedy: "begin a new chat" });
    };
    const { at, say, has } = await chatting(engine);
    await say("Hi");
    expect(words(at("chat-problem"))).toBe("the conversation is longer than 2,048 tokensWhat to do: begin a new chat");
    engine.answer = works;
    await say("Hello?");
    expect(engine.asked[0]?.messages).toEqual([{ role: "user", content: "Hello?" }]);
    expect(has("chat-problem")).toBe(false);
  });

  it("begins anew while an answer is written, without a word of the old one", async () => {
    let go = () => {};
    const engine = fakeEngine([]);
    engine.answer = async function* () {
      yield piece("old", false);
      await new Promise<void>((resolve) => (go = resolve));
      yield piece("older", false);
    };
    const { has, say, click } = await chatting(engine);
    await say("Hi");
    await click("chat-new");
    go();
    await settled();
    expect([has("messages"), has("chat-send")]).toEqual([false, true]);
  });

  it("sends with Enter, but not with Shift or while a word is composed", async () => {
    const engine = fakeEngine(pieces);
    const { at, actions } = await chatting(engine);
    actions.chatting.type("Hi");
    const press = async (init: KeyboardEventInit) => {
      at("chat-input").dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true, ...init }));
      await settled();
    };
    await press({ shiftKey: true });
    await press({ isComposing: true });
    expect(engine.asked).toHaveLength(0);
    await press({});
    expect(engine.asked).toHaveLength(1);
  });

  it("says when the oldest messages no longer fit", async () => {
    const { at, say } = await chatting({ ...fakeEngine(pieces), leftOut: () => 2 });
    await say("Hi");
    expect(words(at("chat-left-out"))).toBe("The conversation has outgrown the model's context: the oldest 2 messages were left out of the last answer.");
  });

  it("offers the full drafter only where it is loaded", async () => {
    const offered = (page: Awaited<ReturnType<typeof chatting>>) => [...page.at("drafts").querySelectorAll("option")].map((each) => each.textContent);
    expect(offered(await chatting())).not.toContain("full drafter");
    expect(offered(await chatting({ ...fakeEngine([]), hasFull: true }))).toContain("full drafter");
  });
});
