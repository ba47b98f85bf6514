import { describe, expect, it } from "vitest";
import { defaultChoice } from "../../../src/page/words/choice.js";
import { costRows, median } from "../../../src/page/words/costs.js";
import { deviceFacts } from "../../../src/page/words/device.js";
import { canKeep, keptWords, loadLabel, parts } from "../../../src/page/words/downloads.js";
import { fit, placedModels } from "../../../src/page/words/fits.js";
import { lacks } from "../../../src/page/words/missing.js";
import { problemOf } from "../../../src/page/words/problem.js";
import { EdgedraftError } from "../../../src/runtime/index.js";
import { CAPABILITIES, MANIFEST, PROBE, SESSION, SITE } from "../fakes.js";

const WANTED = Object.entries(MANIFEST.files).map(([path, { bytes }]) => ({ path, bytes, keptBytes: 0 }));
const CHOICE = defaultChoice(MANIFEST, CAPABILITIES);

describe("the download, in parts that a user knows", () => {
  it("counts every wanted byte once", () => {
    const found = parts(SITE, WANTED);
    expect(found.map(({ label, bytes }) => [label, bytes])).toEqual([
      ["Target", 900_000_000],
      ["Drafter", 100_000_000],
      ["Tokenizer", 10_000_000],
    ]);
  });

  it("names the full drafter where it is wanted", () => {
    const full = { graph: "full/model.onnx", data: [], largest_tensor_bytes: 1, half: false, operators: [], files: {} };
    const site = { manifest: MANIFEST, session: { ...SESSION, full_drafter: full } };
    const found = parts(site, [...WANTED, { path: "full/model.onnx", bytes: 5, keptBytes: 0 }]);
    expect(found.map((part) => part.label)).toEqual(["Target", "Drafter", "Full drafter", "Tokenizer"]);
  });

  it("says what is kept here", () => {
    expect(keptWords({ bytes: 10, keptBytes: 0 })).toBe("");
    expect(keptWords({ bytes: 10, keptBytes: 4 })).toBe("40 % kept on this device");
    expect(keptWords({ bytes: 10, keptBytes: 10 })).toBe("kept on this device");
  });

  it("offers to load what is missing", () => {
    const some = WANTED.map((file) => ({ ...file, keptBytes: file.path.startsWith("target/") ? file.bytes : 0 }));
    const all = WANTED.map((file) => ({ ...file, keptBytes: file.bytes }));
    expect([WANTED, some, all].map(loadLabel)).toEqual(["Load 1.01 GB", "Load the other 110 MB", "Load"]);
  });

  it("fits the storage when the missing part does", () => {
    const some = WANTED.map((file) => ({ ...file, keptBytes: file.path.startsWith("target/") ? file.bytes : 0 }));
    expect([canKeep(WANTED, 500e6), canKeep(some, 500e6), canKeep(WANTED, null)]).toEqual([false, true, true]);
  });
});

describe("whether it fits", () => {
  it("says what memory is expected", () => {
    const found = fit(placedModels(MANIFEST, SESSION, CHOICE), CAPABILITIES);
    expect(found).toEqual({ problem: null, headline: "It fits.", sentence: "It takes about 2.10 GB of memory at its peak; this device has 8 GB or more." });
  });

  it("promises nothing where the memory is not known, or known only to be more than browsers tell", () => {
    const placed = placedModels(MANIFEST, SESSION, CHOICE);
    const large = placed.map(([needs, provider]) => [{ ...needs, fileBytes: 6e9 }, provider] as const);
    expect(fit(placed, { ...CAPABILITIES, memoryGigabytes: null }).headline).toBe("It may fit.");
    expect(fit(large, CAPABILITIES).headline).toBe("It may fit.");
  });

  it("names the limit that a tensor breaks, and what to do", () => {
    const weak = { ...CAPABILITIES, maxBindingBytes: 64 * 2 ** 20 };
    expect(fit(placedModels(MANIFEST, SESSION, CHOICE), weak).problem).toEqual({
      rule: "target: this GPU binds at most 64 MiB in one tensor",
      got: "100 MiB",
      remedy: "use WebAssembly instead, or export a smaller precision",
    });
  });

  it("names the kernel that a provider lacks, and the export that does without", () => {
    const packed = { ...MANIFEST, drafter: { ...MANIFEST.drafter, operators: ["GatherBlockQuantized"] } };
    const mixed = { ...CHOICE, drafter: "wasm" as const };
    expect(fit(placedModels(packed, SESSION, CHOICE), CAPABILITIES).problem).toBeNull();
    expect(fit(placedModels(packed, SESSION, mixed), CAPABILITIES).problem).toEqual({
      rule: "drafter: WebAssembly has no kernel that looks up packed tokens",
      got: "GatherBlockQuantized",
      remedy: "edgedraft export with --provider wasm, or use WebGPU instead",
    });
  });

  it("asks each model of the provider that was chosen for it", () => {
    const weak = { ...CAPABILITIES, maxBindingBytes: 64 * 2 ** 20 };
    const mixed = { ...CHOICE, target: "wasm" as const };
    expect(fit(placedModels(MANIFEST, SESSION, mixed), weak).problem).toBeNull();
  });
});

describe("what is missing, in words", () => {
  it("says nothing where nothing is", () => expect(lacks(CAPABILITIES, true)).toEqual([]));

  it("names the cause of everything else alone", () => {
    const poor = { ...CAPABILITIES, secure: false, webgpu: false, isolated: false };
    expect(lacks(poor, true).map(({ what, serious }) => [what, serious])).toEqual([["This page is not secure", true]]);
  });

  it("gives the runtime's reason for no WebGPU", () => {
    const poor = { ...CAPABILITIES, webgpu: false, reason: "this browser has no WebGPU", isolated: false };
    const found = lacks(poor, false);
    expect(found.map(({ what, serious }) => [what, serious])).toEqual([
      ["No WebGPU", false],
      ["One thread only", false],
      ["Little storage", false],
    ]);
    expect(found[0]?.words).toBe("This browser has no WebGPU. The models run on the processor, in WebAssembly, and are slower.");
  });

  it("has another reason for one thread on iPhones", () => {
    const [found] = lacks({ ...CAPABILITIES, ios: true, isolated: false }, true);
    expect(found?.words).toBe("Browsers on iPhone and iPad cannot run WebAssembly threads reliably.");
  });
});

describe("the first choice", () => {
  it("is WebGPU and four threads where both are there", () =>
    expect(CHOICE).toEqual({ target: "webgpu", drafter: "webgpu", threads: 4, contextLength: 2048, withFull: false }));

  it("is WebAssembly on one thread where neither is", () => {
    const poor = { ...CAPABILITIES, webgpu: false, isolated: false };
    expect(defaultChoice({ ...MANIFEST, context_length: 1024 }, poor)).toEqual({
      target: "wasm",
      drafter: "wasm",
      threads: 1,
      contextLength: 1024,
      withFull: false,
    });
  });
});

describe("the facts of a device", () => {
  it("leave out what has no meaning without a GPU", () => {
    const terms = deviceFacts({ ...CAPABILITIES, webgpu: false, memoryGigabytes: null }, null, 4).map(({ term, value }) => `${term}: ${value}`);
    expect(terms).toEqual([
      "GPU: none for WebGPU",
      "Processor: 8 cores, up to 4 threads",
      "Memory: the browser does not say",
      "Storage: the browser does not say",
    ]);
  });

  it("say where a GPU is none", () =>
    expect(deviceFacts({ ...CAPABILITIES, softwareAdapter: true }, null, 4)).toContainEqual({ term: "GPU", value: "arm valhall, in software" }));

  it("give the smaller of the two limits as the largest tensor", () =>
    expect(deviceFacts(CAPABILITIES, 5e9, 8)).toContainEqual({ term: "Largest tensor", value: "1 GiB" }));
});

describe("v(m)", () => {
  it("is the ratio of medians to one row", () => {
    const [row] = costRows(PROBE);
    expect(row?.label).toBe("WebGPU · int4, 2 layers of 64");
    expect(row?.oneRowSeconds).toBe(0.01);
    expect(row?.costs.map((cost) => cost?.toFixed(2))).toEqual(["1.00", "1.10", "1.30"]);
  });

  it("leaves out cases that time nothing but the overhead", () =>
    expect(costRows({ ...PROBE, steps: PROBE.steps.map((step) => ({ ...step, layers: 0 })) })).toEqual([]));

  it("takes the mean of the two middle values", () => expect(median([4, 1, 3, 2])).toBe(2.5));
});

describe("problemOf", () => {
  it("keeps an error's own words", () =>
    expect(problemOf(new EdgedraftError("a: b", { got: 3, remedy: "do c" }))).toEqual({ rule: "a: b", got: "3", remedy: "do c" }));
  it("takes the first line of a foreign one", () => expect(problemOf(new TypeError("no\n at x"))).toEqual({ rule: "no" }));
  it("takes the class of a silent one", () => expect(problemOf(new TypeError(""))).toEqual({ rule: "TypeError" }));
});
