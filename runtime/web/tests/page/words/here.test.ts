import { describe, expect, it } from "vitest";
import { hereSentence } from "../../../src/page/words/here.js";
import { INITIAL, type Problem, type State } from "../../../src/page/state.js";
import { BENCH, DEVICE, PROBE, way } from "../fakes.js";

const choice: State["choice"] = { ...INITIAL.choice, target: "webgpu", drafter: "wasm" };
const result = { device: DEVICE, onnxruntime: "", date: "", provider: { target: "wasm", drafter: "wasm" }, report: BENCH } as const;
const benched: State["bench"] = { ...INITIAL.bench, work: { stage: "done", report: result, posting: "off" } };
const probed: State["probe"] = { ...INITIAL.probe, work: { stage: "done", report: PROBE, posting: "off" } };

describe("the first sentence of the page", () => {
  it("says that nothing was measured here yet, and where the models would run", () =>
    expect(hereSentence({ ...INITIAL, choice })).toBe(
      "Nothing was measured on this device yet: the bench tells whether drafting pays here on WebGPU and WebAssembly.",
    ));

  it("names one provider once, and that of loaded models before the choice", () => {
    expect(hereSentence(INITIAL)).toContain("here on WebAssembly.");
    const loading = { stage: "loaded", providers: { target: "webgpu", drafter: "webgpu" }, threads: 1, hasFull: false, tuned: null } as const;
    expect(hereSentence({ ...INITIAL, loading })).toContain("here on WebGPU.");
    const tuned: Problem = { rule: "skipped" };
    expect(hereSentence({ ...INITIAL, loading: { ...loading, tuned } })).toMatch(/^Not tuned on this device \(skipped\)/);
  });

  it("says the verdict of a bench on this device", () =>
    expect(hereSentence({ ...INITIAL, bench: benched, probe: probed })).toBe(
      "Measured on this device: speculation pays here: the trimmed drafter reaches 1.20× [1.15–1.25] the target's own speed.",
    ));

  it("does not take a probe, or a bench without drafts, for a verdict", () => {
    const sentence = "On this device single passes were probed, but no answer was timed yet on WebAssembly: the bench does that.";
    const plain: State["bench"] = { ...benched, work: { stage: "done", report: { ...result, report: { ...BENCH, ways: { plain: way(1) } } }, posting: "off" } };
    expect(hereSentence({ ...INITIAL, probe: probed })).toBe(sentence);
    expect(hereSentence({ ...INITIAL, probe: probed, bench: plain })).toBe(sentence);
  });
});
