/** Owns the laws of refusal: what a device cannot run is told before anything is downloaded. */

import { expect, test } from "vitest";
import { usableThreads, type Capabilities } from "../../src/runtime/capabilities.js";
import { checkAllFit, checkFits, peakBytes, type ModelNeeds } from "../../src/runtime/needs.js";
import { refusalOf } from "./fakes.js";

const MIB = 2 ** 20;
const PHONE: Capabilities = {
  webgpu: true,
  adapter: "a phone's GPU",
  softwareAdapter: false,
  shaderF16: false,
  maxBufferBytes: 256 * MIB,
  maxBindingBytes: 128 * MIB,
  isolated: true,
  cores: 8,
  memoryGigabytes: 4,
  secure: true,
  ios: false,
};
const SMALL: ModelNeeds = { name: "target", largestTensorBytes: 100 * MIB, half: false, operators: ["MatMulNBits"], fileBytes: 400e6 };

test("a model within all limits fits on both providers", () => {
  expect(() => checkFits(SMALL, "webgpu", PHONE)).not.toThrow();
  expect(() => checkFits(SMALL, "wasm", PHONE)).not.toThrow();
});

const OTHER = "use WebAssembly instead, or";
test.each([
  ["a tensor above the binding size", { largestTensorBytes: 129 * MIB }, {}, `target: this GPU binds at most 128 MiB in one tensor, got 129 MiB - ${OTHER} export a smaller precision`],
  ["a tensor above the buffer size", { largestTensorBytes: 300 * MIB }, { maxBindingBytes: 512 * MIB }, `target: this GPU holds at most 256 MiB in one tensor, got 300 MiB - ${OTHER} export a smaller precision`],
  ["float16 without shader-f16", { half: true }, {}, `target: float16 weights need a GPU with shader-f16, got a phone's GPU without it - ${OTHER} export without float16`],
  ["no WebGPU", {}, { webgpu: false, reason: "none here" }, `WebGPU is not available: none here - ${OTHER} another browser`],
  ["files too large for the memory", { fileBytes: 3e9 }, {}, "target: this device has 4 GB of memory, got a need of about 5.7 GB - export a smaller precision or a smaller model"],
])("%s is refused on WebGPU", async (_what, needs, changes, message) => {
  expect(await refusalOf(() => checkFits({ ...SMALL, ...needs }, "webgpu", { ...PHONE, ...changes }))).toBe(message);
});

const PACKED = ["GatherBlockQuantized", "MatMulNBits"];
const ODD = ["GatherBlockQuantized", "GatherBlockQuantized/odd", "MatMulNBits"];
const LOOK_UP = "target: WebAssembly has no kernel that looks up packed tokens, got GatherBlockQuantized - edgedraft export with --provider wasm, or use WebGPU instead";
const EVEN = "target: WebGPU looks up packed tokens in rows of an even number of blocks only, got an odd number - edgedraft export with --provider webgpu";
test.each([
  ["WebAssembly has no kernel for packed tables", "wasm", PACKED, LOOK_UP],
  ["WebAssembly has none for odd ones either", "wasm", ODD, LOOK_UP],
  ["WebGPU refuses odd packed tables", "webgpu", ODD, EVEN],
] as const)("%s", async (_what, provider, operators, message) => {
  expect(await refusalOf(() => checkFits({ ...SMALL, operators }, provider, PHONE))).toBe(message);
});

test("what a provider has kernels for fits, and so does a bundle that names no operators", () => {
  expect(() => checkFits({ ...SMALL, operators: PACKED }, "webgpu", PHONE)).not.toThrow();
  for (const provider of ["webgpu", "wasm"] as const) {
    expect(() => checkFits({ ...SMALL, operators: [] }, provider, PHONE)).not.toThrow();
  }
});

test("limits of the GPU do not hold on WebAssembly, its 4 GiB do", async () => {
  const large = { ...SMALL, largestTensorBytes: 300 * MIB, half: true };
  expect(() => checkFits(large, "wasm", PHONE)).not.toThrow();
  const unknown = { ...PHONE, memoryGigabytes: null };
  const message = "target: WebAssembly addresses at most 4 GiB, got 4769 MiB - export a smaller precision or a smaller model";
  expect(await refusalOf(() => checkFits({ ...SMALL, fileBytes: 5e9 }, "wasm", unknown))).toBe(message);
});

test("models that fit alone may not fit together", async () => {
  const half = { ...SMALL, fileBytes: 1.2e9 };
  const both = [[half, "webgpu"], [{ ...half, name: "drafter" }, "webgpu"]] as const;
  expect(() => checkFits(half, "webgpu", PHONE)).not.toThrow();
  expect(await refusalOf(() => checkAllFit(both, PHONE))).toMatch(/^target and drafter: this device has 4 GB of memory, got a need of about 4.6 GB/);
  expect(peakBytes(both)).toBeCloseTo(0.3e9 + 2 * 1.8 * 1.2e9, -3);
});

test("memory that browsers cap is not taken at its word", () => {
  expect(() => checkFits({ ...SMALL, fileBytes: 6e9 }, "webgpu", { ...PHONE, memoryGigabytes: 8 })).not.toThrow();
});

test("threads are one without isolation and on iOS, and at most the cores", () => {
  expect(usableThreads(4, PHONE)).toBe(4);
  expect(usableThreads(16, PHONE)).toBe(8);
  expect(usableThreads(4, { ...PHONE, isolated: false })).toBe(1);
  expect(usableThreads(4, { ...PHONE, ios: true })).toBe(1);
});
