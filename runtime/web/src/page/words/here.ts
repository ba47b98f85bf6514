/** Owns the page's first sentence: what was measured on this device, or that nothing was yet. */

import type { State } from "../state.js";
import { PROVIDER_NAMES } from "./costs.js";
import { tunedSentence } from "./tuned.js";
import { benchVerdict } from "./verdict.js";

/** Say what this device has measured, a bench first, then what was tuned; else where the models will run, and how to find out. */
export function hereSentence({ bench, probe, choice, loading }: Pick<State, "bench" | "probe" | "choice" | "loading">): string {
  const verdict = bench.work.stage === "done" ? benchVerdict(bench.work.report.report) : null;
  if (verdict !== null) return `Measured on this device: ${verdict.sentence.charAt(0).toLowerCase()}${verdict.sentence.slice(1)}`;
  const tuned = loading.stage === "loaded" ? tunedSentence(loading.tuned) : null;
  if (tuned !== null) return tuned;
  const { target, drafter } = loading.stage === "loaded" ? loading.providers : choice;
  const names = target === drafter ? PROVIDER_NAMES[target] : `${PROVIDER_NAMES[target]} and ${PROVIDER_NAMES[drafter]}`;
  if (probe.work.stage === "done") return `On this device single passes were probed, but no answer was timed yet on ${names}: the bench does that.`;
  return `Nothing was measured on this device yet: the bench tells whether drafting pays here on ${names}.`;
}
