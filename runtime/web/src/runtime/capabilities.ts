/** Owns `Capabilities`: the features and limits of this browser and its GPU, read once and passed on. */

import { firstLine } from "./errors.js";

/** The execution provider that a model runs on. */
export type Provider = "webgpu" | "wasm";

/** Features of this browser; `reason` says why there is no WebGPU. Sizes are in bytes, 0 without WebGPU. */
export interface Capabilities {
  readonly webgpu: boolean;
  readonly reason?: string;
  readonly adapter: string;
  /** True when the adapter computes on the processor: its speeds say nothing about a GPU. */
  readonly softwareAdapter: boolean;
  readonly shaderF16: boolean;
  readonly maxBufferBytes: number;
  readonly maxBindingBytes: number;
  readonly isolated: boolean;
  readonly cores: number;
  readonly memoryGigabytes: number | null;
  readonly secure: boolean;
  /** True on Apple's phones and tablets, whose browsers cannot run several WebAssembly threads reliably. */
  readonly ios: boolean;
}

/** Read what this browser offers; with `device`, the features and limits that this device was created with. */
export async function readCapabilities(device?: GPUDevice): Promise<Capabilities> {
  const scope = globalThis as { isSecureContext?: boolean; crossOriginIsolated?: boolean };
  const browser = navigator as Navigator & { deviceMemory?: number };
  return {
    ...(await readGpu(device)),
    isolated: scope.crossOriginIsolated === true,
    cores: browser.hardwareConcurrency || 1,
    memoryGigabytes: browser.deviceMemory ?? null,
    secure: scope.isSecureContext === true,
    ios: isIos(browser),
  };
}

type Gpu = Pick<Capabilities, "webgpu" | "reason" | "adapter" | "softwareAdapter" | "shaderF16" | "maxBufferBytes" | "maxBindingBytes">;

async function readGpu(device?: GPUDevice): Promise<Gpu> {
  if (device !== undefined) return gpuOf(device, device.adapterInfo);
  const gpu = (navigator as { gpu?: GPU }).gpu;
  if (gpu === undefined) return withoutGpu(noGpuReason());
  try {
    const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
    return adapter === null ? withoutGpu("the browser found no GPU that WebGPU may use") : gpuOf(adapter, adapter.info);
  } catch (error) {
    return withoutGpu(`asking for a GPU failed: ${firstLine(error)}`);
  }
}

function noGpuReason(): string {
  const secure = (globalThis as { isSecureContext?: boolean }).isSecureContext === true;
  return secure ? "this browser has no WebGPU" : "WebGPU needs a secure page (https, or http on this device itself)";
}

function gpuOf(from: GPUDevice | GPUAdapter, info: GPUAdapterInfo | undefined): Gpu {
  return {
    webgpu: true,
    adapter: adapterName(info),
    softwareAdapter: isSoftware(info),
    shaderF16: from.features.has("shader-f16"),
    maxBufferBytes: from.limits.maxBufferSize,
    maxBindingBytes: from.limits.maxStorageBufferBindingSize,
  };
}

function withoutGpu(reason: string): Gpu {
  return { webgpu: false, reason, adapter: "", softwareAdapter: false, shaderF16: false, maxBufferBytes: 0, maxBindingBytes: 0 };
}

function adapterName(info: Partial<GPUAdapterInfo> | undefined): string {
  const parts = [info?.vendor, info?.architecture, info?.device, info?.description].filter((part) => part);
  return parts.join(" ") || "unnamed GPU";
}

/** Recognise an adapter in software: browsers flag their own, one of the system shows only by its name. */
export function isSoftware(info: Partial<GPUAdapterInfo> | undefined): boolean {
  return info?.isFallbackAdapter === true || /swiftshader|llvmpipe|lavapipe|basic render/i.test(adapterName(info));
}

function isIos(browser: Navigator): boolean {
  // iPads call themselves Macintosh; no Mac has a touch screen.
  const touchMac = browser.userAgent.includes("Macintosh") && browser.maxTouchPoints > 1;
  return /iPhone|iPad|iPod/.test(browser.userAgent) || touchMac;
}

/** Return how many of the `requested` WebAssembly threads this browser can run: one without isolation and on iOS. */
export function usableThreads(requested: number, capabilities: Capabilities): number {
  if (!capabilities.isolated || capabilities.ios) return 1;
  return Math.max(1, Math.min(requested, capabilities.cores));
}
