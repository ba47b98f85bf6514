/** Owns the verdict of a bench or a plan on speculating on this device, in one honest sentence. */

import type { BenchReport, BenchResult, DecodingPlan, Interval, Provider, Way, WayReport } from "../../runtime/index.js";
import { PROVIDER_NAMES } from "./costs.js";
import { rate, share, times, twoDigits } from "./format.js";

/** The verdict: `pays` or `loses` only where at least three quarters of the prompts were faster, or slower. */
export type Answer = "pays" | "loses" | "open";

export interface Verdict {
  readonly answer: Answer;
  readonly sentence: string;
}

/** The name of each way of decoding. */
export const WAY_NAMES: Readonly<Record<Way, string>> = {
  plain: "Target alone",
  full: "Full drafter",
  trimmed: "Trimmed drafter",
};

/** List the ways that ran, in the order of the table. */
export function waysOf(report: BenchReport): readonly (readonly [Way, WayReport])[] {
  return (["plain", "full", "trimmed"] as const).flatMap((way) => {
    const measured = report.ways[way];
    return measured === undefined ? [] : [[way, measured] as const];
  });
}

/** Judge a bench by the fastest way that drafts. */
export function benchVerdict(report: BenchReport): Verdict | null {
  const drafting = waysOf(report).filter(([way]) => way !== "plain");
  const [best, ...others] = [...drafting].sort(([, a], [, b]) => b.speed_up.median - a.speed_up.median);
  if (best === undefined) return null;
  const answer = answerOf(best[1].speed_up);
  const reached = `the ${WAY_NAMES[best[0]].toLowerCase()} reaches ${spread(best[1].speed_up)} the target's own speed`;
  const beside = others.map(([way, measured]) => `; the ${WAY_NAMES[way].toLowerCase()} ${times(measured.speed_up.median)}`).join("");
  return { answer, sentence: `${OPENINGS[answer]}: ${reached}${beside}.` };
}

const OPENINGS: Readonly<Record<Answer, string>> = {
  pays: "Speculation pays here",
  loses: "Do not speculate here",
  open: "A toss-up here",
};

/** Judge a speed-up, by the same rule as edgedraft's command line. */
export function answerOf(speedUp: Interval): Answer {
  if (speedUp.low > 1) return "pays";
  return speedUp.high < 1 ? "loses" : "open";
}

/** Say whether the ways wrote the same texts, and what a difference means. */
export function textsSentence(report: BenchReport): string {
  const drafting = waysOf(report).filter(([way]) => way !== "plain");
  const differing = drafting.filter(([, measured]) => measured.equal_texts < report.prompts);
  if (differing.length === 0) return "Every way wrote the same texts as the target alone.";
  const named = differing.map(([way, measured]) => `${WAY_NAMES[way].toLowerCase()} ${report.prompts - measured.equal_texts} of ${report.prompts}`);
  return `Some texts differ from the target's own (${named.join(", ")}): quantized kernels may break near-ties differently in blocks than one by one.`;
}

/** Say on which provider each model ran, and that speeds in software say nothing about a GPU. */
export function placeSentence({ provider, device }: Pick<BenchResult, "provider" | "device">): string {
  const { target, drafter } = provider;
  const adapter = `${device.adapter}${device.software_adapter ? ", in software" : ""}`;
  const named = (each: Provider): string => (each === "webgpu" ? `${PROVIDER_NAMES[each]} (${adapter})` : PROVIDER_NAMES[each]);
  const models = target === drafter ? `Target and drafter ran on ${named(target)}.` : `The target ran on ${named(target)}, the drafter on ${named(drafter)}.`;
  const softly = device.software_adapter && (target === "webgpu" || drafter === "webgpu");
  return softly ? `${models} Speeds in software say nothing of a real GPU.` : models;
}

/** Say what the plan in the bundle predicted, and for which device. */
export function planSentence(plan: DecodingPlan): string {
  const gain = plan.predicted_tokens_per_second / plan.predicted_plain_tokens_per_second;
  const range = `${times(gain)} [${twoDigits(plan.speed_up_low)}–${twoDigits(plan.speed_up_high)}]`;
  const advice = plan.speculate ? "speculate" : "do not speculate";
  return `Planned for ${plan.device}: ${advice}; drafting is expected to reach ${range} the target's own speed.`;
}

/** Return the cells of the bench's table, one row for each measure. */
export function benchRows(report: BenchReport): readonly { readonly label: string; readonly cells: readonly Cell[] }[] {
  const ways = waysOf(report);
  const row = (label: string, cell: (measured: WayReport, way: Way) => Cell) => ({
    label,
    cells: ways.map(([way, measured]) => cell(measured, way)),
  });
  return [
    row("Tokens/s", ({ tokens_per_second: it }) => ({ value: rate(it.median), range: `${rate(it.low)}–${rate(it.high)}` })),
    row("Speed-up", ({ speed_up: it }, way) =>
      way === "plain" ? { value: "1" } : { value: times(it.median), range: `${twoDigits(it.low)}–${twoDigits(it.high)}` },
    ),
    row("Tokens a pass (τ)", (measured) => ({ value: twoDigits(measured.block_efficiency) })),
    row("Drafts kept", (measured) => ({ value: share(measured.draft_tokens_proposed > 0 ? measured.acceptance_rate : null) })),
    row("Equal texts", (measured, way) => ({ value: way === "plain" ? "–" : `${measured.equal_texts} of ${report.prompts}` })),
  ];
}

export interface Cell {
  readonly value: string;
  readonly range?: string;
}

function spread(ratio: Interval): string {
  return `${times(ratio.median)} [${twoDigits(ratio.low)}–${twoDigits(ratio.high)}]`;
}
