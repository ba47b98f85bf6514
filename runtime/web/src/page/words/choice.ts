/** Owns the default choices, and the values on offer. */

import { CONTEXT_LENGTH, longestContext, usableThreads, type Capabilities, type Manifest, type Provider } from "../../runtime/index.js";
import type { ChatOptions, Choice } from "../state.js";

/** More threads than this gain nothing on phones, whose other cores are small. */
const MOST_THREADS = 4;

/** Choose WebGPU where there is one, as many threads as help, and a context that fits phones. */
export function defaultChoice(manifest: Manifest, capabilities: Capabilities): Choice {
  const provider: Provider = capabilities.webgpu ? "webgpu" : "wasm";
  return {
    target: provider,
    drafter: provider,
    threads: usableThreads(MOST_THREADS, capabilities),
    contextLength: Math.min(CONTEXT_LENGTH, longestContext(manifest.target, manifest.context_length)),
    withFull: false,
  };
}

/** Choose the plan's draft length and greedy decoding, so that drafting changes only the speed. */
export function defaultChatOptions(manifest: Manifest): ChatOptions {
  return { drafts: "trimmed", draftLength: manifest.plan.draft_length, temperature: 0, maxNewTokens: 256 };
}

/** List the context lengths on offer: powers of two up to what the model computes rightly. */
export function contextLengths(manifest: Manifest): readonly number[] {
  const most = longestContext(manifest.target, manifest.context_length);
  const offered = [512, 1024, 2048, 4096, 8192].filter((length) => length <= most);
  return offered.length > 0 ? offered : [most];
}

/** List the thread counts on offer, up to the most that can be used. */
export function threadCounts(capabilities: Capabilities): readonly number[] {
  return Array.from({ length: Math.min(usableThreads(capabilities.cores, capabilities), 8) }, (_, index) => index + 1);
}
