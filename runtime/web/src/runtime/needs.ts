/** Owns the needs of a model, and refusing it before any download on a device that lacks them. */

import { demand } from "./errors.js";
import type { Capabilities, Provider } from "./capabilities.js";

/**
 * Needs of one model: the bytes of its largest tensor and of its files; `half`: it has float16 tensors; `operators`: those
 * beside ONNX's own that need a kernel, none in older bundles, which do not list them.
 */
export interface ModelNeeds {
  readonly name: string;
  readonly largestTensorBytes: number;
  readonly half: boolean;
  readonly operators: readonly string[];
  readonly fileBytes: number;
}

/** Peak memory over the bytes of the files, as measured; the browser's own memory comes on top. */
const PEAK_OVER_FILES: Readonly<Record<Provider, number>> = { webgpu: 1.8, wasm: 2.4 };
const BROWSER_BYTES = 0.3e9;
/** The largest memory that 32-bit WebAssembly can address. */
const WASM_BYTES = 4 * 2 ** 30;
/** The largest numbers that browsers report: older ones cap at the first, newer ones at the second. */
const REPORTED_CAPS_GIGABYTES = [8, 32];

interface Lack {
  readonly operator: string;
  readonly rule: string;
  readonly got: string;
  readonly remedy: string;
}

/** Operators that onnxruntime-web has no kernel for, or not for every shape: ONNX Runtime reports it only after the download. */
const LACKING: Readonly<Record<Provider, readonly Lack[]>> = {
  webgpu: [
    {
      operator: "GatherBlockQuantized/odd",
      rule: "WebGPU looks up packed tokens in rows of an even number of blocks only",
      got: "an odd number",
      remedy: "edgedraft export with --provider webgpu",
    },
  ],
  wasm: [
    {
      operator: "GatherBlockQuantized",
      rule: "WebAssembly has no kernel that looks up packed tokens",
      got: "GatherBlockQuantized",
      remedy: "edgedraft export with --provider wasm, or use WebGPU instead",
    },
  ],
};

/** Throw `EdgedraftError` with the reason when `provider` cannot run a model on this device. */
export function checkFits(model: ModelNeeds, provider: Provider, capabilities: Capabilities): void {
  if (provider === "webgpu") checkGpu(model, capabilities);
  else checkWasm([model]);
  checkKernels(model, provider);
  checkMemory([[model, provider]], capabilities);
}

/** Throw `EdgedraftError` also for models that fit one by one but not together. */
export function checkAllFit(models: readonly (readonly [ModelNeeds, Provider])[], capabilities: Capabilities): void {
  for (const [model, provider] of models) checkFits(model, provider, capabilities);
  checkWasm(models.filter(([, provider]) => provider === "wasm").map(([model]) => model));
  checkMemory(models, capabilities);
}

/** Estimate the peak bytes of memory of these models together. */
export function peakBytes(models: readonly (readonly [ModelNeeds, Provider])[]): number {
  return models.reduce((sum, [model, provider]) => sum + PEAK_OVER_FILES[provider] * model.fileBytes, BROWSER_BYTES);
}

function checkGpu(model: ModelNeeds, capabilities: Capabilities): void {
  const reason = capabilities.reason ?? "this browser has no WebGPU";
  demand(capabilities.webgpu, `WebGPU is not available: ${reason}`, { remedy: "use WebAssembly instead, or another browser" });
  const limits = [
    ["binds", capabilities.maxBindingBytes],
    ["holds", capabilities.maxBufferBytes],
  ] as const;
  for (const [verb, most] of limits) {
    demand(model.largestTensorBytes <= most, `${model.name}: this GPU ${verb} at most ${megabytes(most)} in one tensor`, {
      got: megabytes(model.largestTensorBytes),
      remedy: "use WebAssembly instead, or export a smaller precision",
    });
  }
  demand(!model.half || capabilities.shaderF16, `${model.name}: float16 weights need a GPU with shader-f16`, {
    got: `${capabilities.adapter} without it`,
    remedy: "use WebAssembly instead, or export without float16",
  });
}

function checkKernels(model: ModelNeeds, provider: Provider): void {
  for (const { operator, rule, got, remedy } of LACKING[provider]) {
    demand(!model.operators.includes(operator), `${model.name}: ${rule}`, { got, remedy });
  }
}

function checkWasm(models: readonly ModelNeeds[]): void {
  const bytes = models.reduce((sum, model) => sum + model.fileBytes, 0);
  demand(bytes < WASM_BYTES, `${models.map((model) => model.name).join(" and ")}: WebAssembly addresses at most 4 GiB`, {
    got: megabytes(bytes),
    remedy: "export a smaller precision or a smaller model",
  });
}

function checkMemory(models: readonly (readonly [ModelNeeds, Provider])[], capabilities: Capabilities): void {
  const memory = capabilities.memoryGigabytes;
  if (memory === null || REPORTED_CAPS_GIGABYTES.includes(memory)) return;
  const names = models.map(([model]) => model.name).join(" and ");
  const rule = `${names}: this device has ${memory} GB of memory`;
  const needed = peakBytes(models);
  demand(needed <= memory * 1e9, rule, {
    got: `a need of about ${(needed / 1e9).toFixed(1)} GB`,
    remedy: "export a smaller precision or a smaller model",
  });
}

function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / 2 ** 20)} MiB`;
}
