/** Owns the list of facts about this device. */

import type { Capabilities } from "../../runtime/index.js";
import { binaryBytes, bytes, plural } from "./format.js";

export interface Fact {
  readonly term: string;
  readonly value: string;
}

/** List the facts about this device that matter for running models. */
export function deviceFacts(capabilities: Capabilities, freeBytes: number | null, threads: number): readonly Fact[] {
  const { cores, memoryGigabytes } = capabilities;
  return [
    ...gpuFacts(capabilities),
    { term: "Processor", value: `${plural(cores, "core")}, up to ${plural(threads, "thread")}` },
    { term: "Memory", value: memoryWords(memoryGigabytes) },
    { term: "Storage", value: freeBytes === null ? "the browser does not say" : `${bytes(freeBytes)} free for this page` },
  ];
}

function gpuFacts({ webgpu, adapter, softwareAdapter, shaderF16, maxBufferBytes, maxBindingBytes }: Capabilities): readonly Fact[] {
  if (!webgpu) return [{ term: "GPU", value: "none for WebGPU" }];
  return [
    { term: "GPU", value: softwareAdapter ? `${adapter}, in software` : adapter },
    { term: "16-bit floats", value: shaderF16 ? "yes" : "no" },
    { term: "Largest tensor", value: binaryBytes(Math.min(maxBufferBytes, maxBindingBytes)) },
  ];
}

function memoryWords(gigabytes: number | null): string {
  if (gigabytes === null) return "the browser does not say";
  return gigabytes >= 8 ? "8 GB or more" : `about ${gigabytes} GB`;
}
