import { describe, expect, it } from "vitest";
import { answerOf, benchRows, benchVerdict, placeSentence, planSentence, textsSentence } from "../../../src/page/words/verdict.js";
import type { Provider } from "../../../src/runtime/index.js";
import { BENCH, DEVICE, MANIFEST, way } from "../fakes.js";

const plain = way(1, { draft_tokens_proposed: 0 });
const report = (ways: Parameters<typeof way>[0][]) => ({ ...BENCH, ways: { plain, trimmed: way(ways[0] ?? 1), ...(ways[1] === undefined ? {} : { full: way(ways[1]) }) } });

describe("the verdict of a bench", () => {
  it("says when it pays, by how much, and how the other drafter did", () =>
    expect(benchVerdict(report([1.2, 1.1]))).toEqual({
      answer: "pays",
      sentence: "Speculation pays here: the trimmed drafter reaches 1.20× [1.15–1.25] the target's own speed; the full drafter 1.10×.",
    }));

  it("says just as plainly when it does not", () =>
    expect(benchVerdict(report([0.8]))?.sentence).toBe("Do not speculate here: the trimmed drafter reaches 0.80× [0.75–0.85] the target's own speed."));

  it("speaks about the fastest way that drafts", () =>
    expect(benchVerdict(report([0.8, 1.2]))?.sentence).toBe(
      "Speculation pays here: the full drafter reaches 1.20× [1.15–1.25] the target's own speed; the trimmed drafter 0.80×.",
    ));

  it("is open while the quartiles lie on both sides of 1", () =>
    expect([1.01, 1.05].map((median) => benchVerdict(report([median]))?.answer)).toEqual(["open", "open"]));

  it("is open at exactly 1", () => expect(answerOf({ median: 1.1, low: 1, high: 1.2 })).toBe("open"));

  it("is none where nothing drafted", () => expect(benchVerdict({ ...BENCH, ways: { plain } })).toBeNull());
});

describe("where a bench ran", () => {
  const on = (target: Provider, drafter: Provider, software_adapter = false) =>
    placeSentence({ provider: { target, drafter }, device: { ...DEVICE, adapter: "google swiftshader", software_adapter } });

  it("names the provider of each model, and the adapter where there is one", () => {
    expect(on("wasm", "wasm", true)).toBe("Target and drafter ran on WebAssembly.");
    expect(on("webgpu", "webgpu")).toBe("Target and drafter ran on WebGPU (google swiftshader).");
    expect(on("webgpu", "wasm")).toBe("The target ran on WebGPU (google swiftshader), the drafter on WebAssembly.");
  });

  it("says that a software adapter tells nothing of a GPU", () =>
    expect(on("wasm", "webgpu", true)).toBe(
      "The target ran on WebAssembly, the drafter on WebGPU (google swiftshader, in software). Speeds in software say nothing of a real GPU.",
    ));
});

describe("the table of a bench", () => {
  it("has a column a way, with quartiles where there are some", () => {
    const [speed, gain, efficiency, kept, texts] = benchRows(BENCH);
    expect(speed?.cells).toEqual([
      { value: "10.0", range: "9.0–11.0" },
      { value: "12.0", range: "10.8–13.2" },
    ]);
    expect(gain?.cells).toEqual([{ value: "1" }, { value: "1.20×", range: "1.15–1.25" }]);
    expect(efficiency?.cells.map((cell) => cell.value)).toEqual(["1.00", "1.70"]);
    expect(kept?.cells.map((cell) => cell.value)).toEqual(["–", "75.0 %"]);
    expect(texts?.cells.map((cell) => cell.value)).toEqual(["–", "3 of 3"]);
  });
});

describe("the sentence about texts", () => {
  it("is short when all are equal", () => expect(textsSentence(BENCH)).toBe("Every way wrote the same texts as the target alone."));
  it("counts those that differ", () =>
    expect(textsSentence({ ...BENCH, ways: { plain, trimmed: way(1, { equal_texts: 1 }) } })).toBe(
      "Some texts differ from the target's own (trimmed drafter 2 of 3): quantized kernels may break near-ties differently in blocks than one by one.",
    ));
});

describe("the sentence about the plan", () => {
  it("names the device that it was made for", () =>
    expect(planSentence(MANIFEST.plan)).toBe("Planned for a phone: speculate; drafting is expected to reach 1.20× [1.10–1.30] the target's own speed."));
  it("says do not where the plan does", () =>
    expect(planSentence({ ...MANIFEST.plan, speculate: false })).toContain("Planned for a phone: do not speculate; "));
});
