/** Owns the GPU device that all sessions of the page share, and the errors that it reports. */

import { EdgedraftError, firstLine } from "./errors.js";

/** Features and limits that models use where the adapter has them: a device gets only those it asks for. */
const FEATURES = ["shader-f16", "subgroups"] as const;
const LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
  "maxComputeWorkgroupSizeZ",
  "maxComputeWorkgroupsPerDimension",
  "maxBindGroups",
] as const;

let shared: Promise<GPUDevice> | null = null;

/** Return the page's device, opened at the first call, and again after it was lost. */
export function pageDevice(): Promise<GPUDevice> {
  shared ??= openDevice().then(
    (device) => {
      void device.lost.then(() => (shared = null));
      return device;
    },
    (error: unknown) => {
      shared = null;
      throw error;
    },
  );
  return shared;
}

/** Open a device with all the features and limits of the adapter that models use. */
async function openDevice(): Promise<GPUDevice> {
  const remedy = "use WebAssembly instead, or another browser";
  const adapter = await (navigator as { gpu?: GPU }).gpu?.requestAdapter({ powerPreference: "high-performance" });
  if (adapter === null || adapter === undefined) throw new EdgedraftError("WebGPU is not available", { got: "no adapter", remedy });
  try {
    return await adapter.requestDevice({
      requiredFeatures: FEATURES.filter((name) => adapter.features.has(name)),
      requiredLimits: Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]])),
    });
  } catch (error) {
    throw new EdgedraftError("the GPU gave no device", { got: firstLine(error), remedy });
  }
}

/** Records the first error that a device reports outside of any call, including that it was lost. */
export class GpuWatch {
  private fault: string | null = null;

  constructor(readonly device: GPUDevice) {
    device.addEventListener("uncapturederror", (event) => this.note((event as GPUUncapturedErrorEvent).error.message));
    void device.lost.then((info) => this.note(`the device was lost: ${info.message || info.reason}`));
  }

  /** Throw the recorded error, if any: the device's results cannot be trusted from then on. */
  check(): void {
    if (this.fault === null) return;
    const remedy = "reload the page; if it comes back, use WebAssembly or a smaller model";
    throw new EdgedraftError("the GPU reported an error", { got: this.fault, remedy });
  }

  private note(text: string): void {
    this.fault ??= text.trim().split("\n", 1)[0] ?? text;
  }
}
