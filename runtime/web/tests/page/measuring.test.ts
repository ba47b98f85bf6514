// @vitest-environment happy-dom
import { describe, expect, it } from "vitest";
import { EdgedraftError } from "../../src/runtime/index.js";
import { BENCH, chatting, fakeEngine, fakeWorld, openPage, PROBE, SESSION, settled, SITE, words } from "./fakes.js";

describe("the bench", () => {
  it("says what it found, posts it with the device and the providers, and saves the same", async () => {
    const world = fakeWorld();
    const { at, click } = await openPage(world.ports);
    await click("load");
    await click("tab-bench");
    await click("bench-start");
    expect(words(at("bench-verdict"))).toBe("Speculation pays here: the trimmed drafter reaches 1.20× [1.15–1.25] the target's own speed.");
    expect(words(at("bench-place"))).toBe("The target ran on WebGPU (arm valhall), the drafter on WebAssembly.");
    expect(words(at("bench-posted"))).toBe("The result was sent to the computer that runs edgedraft.");
    const result = { device: SITE.device, onnxruntime: "onnxruntime-web 1.30.0", date: "2026-11-23", provider: { target: "webgpu", drafter: "wasm" }, report: BENCH };
    expect(world.posted).toEqual([{ kind: "bench", result }]);
    await click("bench-save");
    expect(world.saved).toEqual([{ name: "edgedraft-bench-2026-11-23.json", value: result }]);
  });

  it("keeps its result when posting fails, and sends it again", async () => {
    let tries = 0;
    const post = async () => {
      tries += 1;
      if (tries === 1) throw new EdgedraftError("the results did not reach the server", { remedy: "send again" });
    };
    const { at, click } = await openPage(fakeWorld({ post }).ports);
    await click("load");
    await click("tab-bench");
    await click("bench-start");
    expect(words(at("bench-post-problem"))).toContain("the results did not reach the server");
    await click("bench-resend");
    expect(words(at("bench-posted"))).toContain("was sent");
  });

  it("stops without a result and without an error", async () => {
    const engine = fakeEngine([]);
    engine.bench = (_prompts, _maxNewTokens, _progress, signal) =>
      new Promise<never>((_resolve, reject) => signal.addEventListener("abort", () => reject(new Error("aborted"))));
    const { at, has, click } = await openPage(fakeWorld({ openEngine: async () => engine }).ports);
    await click("load");
    await click("tab-bench");
    await click("bench-start");
    expect(words(at("condition"))).toBe("Measuring");
    await click("bench-stop");
    expect([has("bench-problem"), has("bench-table")]).toEqual([false, false]);
    expect(words(at("panel-bench"))).toContain("Stopped before it was done");
  });

  it("posts nothing where no server asks for results", async () => {
    const world = fakeWorld({ openSite: async () => ({ ...SITE, session: { ...SESSION, post_results: false } }) });
    const { click, has } = await openPage(world.ports);
    await click("load");
    await click("tab-bench");
    await click("bench-start");
    expect([world.posted.length, has("bench-posted"), has("bench-save")]).toEqual([0, false, true]);
  });
});

describe("the probe", () => {
  it("runs without models, posts under the name that the user gave, and says what comes next", async () => {
    const world = fakeWorld();
    const { at, click, actions } = await openPage(world.ports);
    await click("tab-probe");
    actions.measuring.setProbe({ name: "My phone" });
    await click("probe-start");
    expect(words(at("probe-table"))).toContain("WebGPU · int4, 2 layers of 64 · one row takes 10.0 ms1.001.101.30");
    expect(world.posted).toEqual([{ kind: "probe", result: { ...PROBE, device: { ...PROBE.device, name: "My phone" } } }]);
    expect(words(at("probe-next"))).toBe(
      "Next, on the computer, with the file that edgedraft phone names for My phone: edgedraft plan --device FILE --provider webgpu",
    );
  });

  it("probes only where the user said", async () => {
    const asked: unknown[] = [];
    const probe = async (_session: unknown, _base: unknown, settings: unknown) => {
      asked.push(settings);
      return PROBE;
    };
    const { click } = await openPage(fakeWorld({ probe }).ports);
    await click("tab-probe");
    await click("probe-webgpu");
    await click("probe-start");
    expect(asked).toEqual([{ providers: ["wasm"], threads: 4 }]);
  });

  it("shows the time that is left, and cases that could not run", async () => {
    let finish = () => {};
    const probe: ReturnType<typeof fakeWorld>["ports"]["probe"] = async (_session, _base, _settings, progress) => {
      progress("probe passes", 1, 4);
      await new Promise<void>((resolve) => (finish = resolve));
      return { ...PROBE, skipped: ["webgpu: no float16"] };
    };
    const { at, click } = await openPage(fakeWorld({ probe }).ports);
    await click("tab-probe");
    await click("probe-start");
    expect(words(at("panel-probe"))).toMatch(/probe passes: 25 %, about \d+ s left/);
    finish();
    await settled();
    expect(words(at("probe-skipped"))).toBe("webgpu: no float16");
  });

  it("is not offered where the page came without probe graphs", async () => {
    const { at, has, click } = await openPage(fakeWorld({ openSite: async () => ({ ...SITE, session: { ...SESSION, probe: { cases: [], rows: [], rounds: 0 } } }) }).ports);
    await click("tab-probe");
    expect(has("probe-start")).toBe(false);
    expect(words(at("probe-missing"))).toContain("not opened by edgedraft phone");
  });
});

describe("one thing at a time", () => {
  it("does not measure while an answer is written", async () => {
    const engine = fakeEngine([]);
    engine.answer = async function* () {
      await new Promise(() => {});
    };
    const { at, say, click } = await chatting(engine);
    await say("Hi");
    await click("tab-bench");
    expect(at<HTMLButtonElement>("bench-start").disabled).toBe(true);
    await click("tab-probe");
    expect(at<HTMLButtonElement>("probe-start").disabled).toBe(true);
  });
});
