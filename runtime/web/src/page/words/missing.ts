/** Owns the warnings about features that the browser or the device lacks, each with a remedy. */

import type { Capabilities } from "../../runtime/index.js";

/** One missing feature in words; a `serious` one makes loading likely to fail. */
export interface Lack {
  readonly what: string;
  readonly words: string;
  readonly remedy: string;
  readonly serious: boolean;
}

/** List the features that this device lacks. An insecure page comes alone, as it causes all others. `keepable`: the download fits its storage. */
export function lacks(capabilities: Capabilities, keepable: boolean): readonly Lack[] {
  if (!capabilities.secure) return [INSECURE];
  const missing: Lack[] = [];
  if (!capabilities.webgpu) missing.push(withoutGpu(capabilities.reason));
  if (capabilities.ios) missing.push(APPLE_THREADS);
  else if (!capabilities.isolated) missing.push(NOT_ISOLATED);
  if (!keepable) missing.push(NO_ROOM);
  return missing;
}

const INSECURE: Lack = {
  what: "This page is not secure",
  words: "Browsers give WebGPU, threads and storage only to https pages and to pages of the device itself. Without them the models run slowly, and nothing is kept.",
  remedy: "Open the https address that `edgedraft phone --lan` prints, or use `edgedraft phone --adb` by cable.",
  serious: true,
};

const NOT_ISOLATED: Lack = {
  what: "One thread only",
  words: "The page is not cross-origin isolated, so WebAssembly may not use threads.",
  remedy: "Serve it with `edgedraft phone`, which sends the headers that isolation needs.",
  serious: false,
};

const APPLE_THREADS: Lack = {
  what: "One thread only",
  words: "Browsers on iPhone and iPad cannot run WebAssembly threads reliably.",
  remedy: "Use WebGPU where it is offered.",
  serious: false,
};

const NO_ROOM: Lack = {
  what: "Little storage",
  words: "The browser will not keep the whole download, so it may come again on the next visit.",
  remedy: "Free some space on this device, or leave the private window.",
  serious: false,
};

function withoutGpu(reason: string | undefined): Lack {
  return {
    what: "No WebGPU",
    words: `${capitalised(reason ?? "this browser has no WebGPU")}. The models run on the processor, in WebAssembly, and are slower.`,
    remedy: "Chrome or Edge 121 and later on Android 12 and later, and Safari 26 and later, have WebGPU.",
    serious: false,
  };
}

function capitalised(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
