// @vitest-environment happy-dom
import { describe, expect, it } from "vitest";
import { EdgedraftError } from "../../src/runtime/index.js";
import { CAPABILITIES, fakeEngine, fakeWorld, openPage, settled, SITE, words } from "./fakes.js";

describe("opening", () => {
  it("shows the bundle, where it will run, what comes down and what the device has", async () => {
    const { at } = await openPage(fakeWorld().ports);
    expect(words(at("bundle-name"))).toBe("small-coder-1.5b");
    expect(words(at("place"))).toBe("Will run on WebGPU (arm valhall)");
    expect(words(at("condition"))).toBe("Not loaded");
    expect(words(at("download-total"))).toBe("1.01 GB");
    expect(words(at("device-facts"))).toContain("16-bit floatsyesLargest tensor1 GiB");
    expect(words(at("load"))).toBe("Load 1.01 GB");
  });

  it("says in the error's own words why nothing was found, and tries again", async () => {
    let tries = 0;
    const fault = new EdgedraftError("session.json: the server cannot be reached", { got: "refused", remedy: "start edgedraft phone again" });
    const openSite = async () => {
      tries += 1;
      if (tries === 1) throw fault;
      return SITE;
    };
    const { at, has, click } = await openPage(fakeWorld({ openSite }).ports);
    expect(at("opening-problem").getAttribute("role")).toBe("alert");
    expect(words(at("opening-problem"))).toBe(
      "session.json: the server cannot be reachedFound: refusedWhat to do: start edgedraft phone againTry again",
    );
    expect(has("tab-start")).toBe(false);
    await click("opening-retry");
    expect(has("opening-problem")).toBe(false);
    expect(has("load")).toBe(true);
  });

  it("says what the device lacks, and offers only what it has", async () => {
    const capabilities = { ...CAPABILITIES, webgpu: false, reason: "this browser has no WebGPU", isolated: false };
    const { at, store } = await openPage(fakeWorld({ openSite: async () => ({ ...SITE, capabilities }) }).ports);
    expect(words(at("panel-start"))).toContain("No WebGPUThis browser has no WebGPU.");
    expect(at<HTMLInputElement>("provider-target-webgpu").disabled).toBe(true);
    expect(store.read().choice).toMatchObject({ target: "wasm", drafter: "wasm", threads: 1 });
  });

  it("does not offer to load what does not fit, and says which limit", async () => {
    const capabilities = { ...CAPABILITIES, maxBindingBytes: 64 * 2 ** 20 };
    const { at, has, click } = await openPage(fakeWorld({ openSite: async () => ({ ...SITE, capabilities }) }).ports);
    expect(words(at("fit-problem"))).toContain("target: this GPU binds at most 64 MiB in one tensor");
    expect(has("load")).toBe(false);
    await click("provider-target-wasm");
    expect(has("fit-problem")).toBe(false);
    expect(has("load")).toBe(true);
  });
});

describe("loading", () => {
  it("shows bytes and percent, then goes to the chat", async () => {
    let finish = () => {};
    const openEngine = fakeWorld().ports.openEngine;
    const { at, click, store } = await openPage(
      fakeWorld({
        openEngine: async (site, settings, progress, signal) => {
          progress("loading files", 404_000_000, 1_010_000_000);
          await new Promise<void>((resolve) => (finish = resolve));
          return openEngine(site, settings, progress, signal);
        },
      }).ports,
    );
    await click("load");
    expect(words(at("condition"))).toBe("Loading 40 %");
    expect(words(at("panel-start"))).toContain("404 MB of 1.01 GB, 40 %");
    expect(at<HTMLProgressElement>("load-progress").value).toBe(404_000_000);
    finish();
    await settled();
    expect(store.read().tab).toBe("chat");
    expect(words(at("condition"))).toBe("Ready");
    expect(words(at("place"))).toBe("Target on WebGPU (arm valhall), drafter on WebAssembly (4 threads)");
  });

  it("is cancelled by the user, without an error", async () => {
    const openEngine = (_site: unknown, _settings: unknown, _progress: unknown, signal: AbortSignal) =>
      new Promise<never>((_resolve, reject) => signal.addEventListener("abort", () => reject(new Error("aborted"))));
    const { has, click } = await openPage(fakeWorld({ openEngine }).ports);
    await click("load");
    await click("load-cancel");
    expect([has("load-problem"), has("load-resumes"), has("load")]).toEqual([false, true, true]);
  });

  it("tells a failure in its own words and tries again", async () => {
    let tries = 0;
    const openEngine = async () => {
      tries += 1;
      if (tries === 1) throw new EdgedraftError("target/model.onnx: the connection broke", { remedy: "load again: what came so far is kept" });
      return fakeEngine([]);
    };
    const { at, has, click } = await openPage(fakeWorld({ openEngine }).ports);
    await click("load");
    expect(words(at("load-problem"))).toBe("target/model.onnx: the connection brokeWhat to do: load again: what came so far is kept");
    expect(words(at("condition"))).toBe("Failed");
    await click("load-retry");
    expect(has("chat-input")).toBe(true);
  });

  it("gives the models back and asks anew", async () => {
    let closed = 0;
    const engine = { ...fakeEngine([]), close: async () => void (closed += 1) };
    const { at, click } = await openPage(fakeWorld({ openEngine: async () => engine }).ports);
    await click("load");
    await click("tab-start");
    await click("unload");
    expect(closed).toBe(1);
    expect(words(at("condition"))).toBe("Not loaded");
  });

  it("removes what is kept on this device", async () => {
    let kept = 1e6;
    const wantedFiles = async () => [{ path: "target/model.onnx", bytes: 1e6, keptBytes: kept }];
    const { at, has, click } = await openPage(fakeWorld({ wantedFiles, forget: async () => void (kept = 0) }).ports);
    expect(words(at("downloads"))).toContain("kept on this device");
    await click("forget");
    expect([has("forget"), words(at("load"))]).toEqual([false, "Load 1.00 MB"]);
  });
});
