/** Owns the header's words: the loaded models, their providers, and the page's condition. */

import { busyWith, type State } from "../state.js";
import { PROVIDER_NAMES } from "./costs.js";
import { percent, plural } from "./format.js";
import { TIMING_PASSES, type Provider } from "../../runtime/index.js";

/** The page's condition, shown beside the name; `tone` picks its look, the words carry the meaning. */
export interface Condition {
  readonly tone: "quiet" | "busy" | "ready" | "failed";
  readonly words: string;
}

const BUSY: Readonly<Record<string, string>> = { answering: "Answering", measuring: "Measuring", probing: "Probing" };

/** Describe the page's condition. */
export function condition(state: State): Condition {
  const { opening, loading } = state;
  if (opening.stage === "failed" || loading.stage === "failed") return { tone: "failed", words: "Failed" };
  if (opening.stage === "opening") return { tone: "busy", words: "Opening" };
  if (loading.stage === "running") {
    const { done, total } = loading;
    if (loading.what === TIMING_PASSES) return { tone: "busy", words: `Tuning ${percent(done, total)} %` };
    return { tone: "busy", words: total > 0 ? `Loading ${percent(done, total)} %` : "Loading" };
  }
  const busy = busyWith(state);
  if (busy !== null) return { tone: "busy", words: BUSY[busy] ?? busy };
  return loading.stage === "loaded" ? { tone: "ready", words: "Ready" } : { tone: "quiet", words: "Not loaded" };
}

/** Say on which providers the models run, or will run. */
export function placeSentence(state: State): string {
  if (state.opening.stage !== "open") return "";
  const { adapter } = state.opening.site.capabilities;
  const { loading, choice } = state;
  const loaded = loading.stage === "loaded";
  const { target, drafter } = loaded ? loading.providers : choice;
  const threads = loaded ? loading.threads : choice.threads;
  const one = (provider: Provider): string =>
    `${PROVIDER_NAMES[provider]} (${provider === "webgpu" ? adapter : plural(threads, "thread")})`;
  if (target === drafter) return `${loaded ? "Runs" : "Will run"} on ${one(target)}`;
  return `Target on ${one(target)}, drafter on ${one(drafter)}`;
}
