/** Owns the probe's table of v(m): the time of a pass over m rows divided by that of a pass over one row. */

import type { ProbeReport, ProbeStep, Provider } from "../../runtime/index.js";
import { count } from "./format.js";

export const PROVIDER_NAMES: Readonly<Record<Provider, string>> = { webgpu: "WebGPU", wasm: "WebAssembly" };

/** One probed graph on one provider; `costs` are v(m) in the order of `rows`, null where m was not timed. */
export interface CostRow {
  readonly label: string;
  readonly oneRowSeconds: number;
  readonly rows: readonly number[];
  readonly costs: readonly (number | null)[];
}

/** Return v(m), from medians, of every probed graph that has layers. */
export function costRows(report: ProbeReport): readonly CostRow[] {
  const timed = report.steps.filter((step) => step.layers > 0 && step.seconds.length > 0);
  const rows = [...new Set(timed.map((step) => step.rows))].sort((a, b) => a - b);
  const groups = new Map<string, ProbeStep[]>();
  for (const step of timed) {
    const label = labelOf(step);
    groups.set(label, [...(groups.get(label) ?? []), step]);
  }
  return [...groups].flatMap(([label, steps]) => costRow(label, steps, rows));
}

function costRow(label: string, steps: readonly ProbeStep[], rows: readonly number[]): readonly CostRow[] {
  const seconds = new Map(steps.map((step) => [step.rows, median(step.seconds)]));
  const one = seconds.get(1);
  if (one === undefined || one <= 0) return [];
  const costs = rows.map((each) => ratio(seconds.get(each), one));
  return [{ label, oneRowSeconds: one, rows, costs }];
}

function labelOf(step: ProbeStep): string {
  const threads = step.provider === "wasm" ? `, ${step.threads} thread${step.threads === 1 ? "" : "s"}` : "";
  return `${PROVIDER_NAMES[step.provider]}${threads} · ${step.precision}, ${count(step.layers)} layers of ${count(step.width)}`;
}

function ratio(seconds: number | undefined, one: number): number | null {
  return seconds === undefined ? null : seconds / one;
}

/** Return the median: the middle value, or the mean of the two middle ones. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}
