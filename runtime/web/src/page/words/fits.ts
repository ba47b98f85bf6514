/** Owns the verdict, before any download, whether the chosen models fit this device. */

import { checkAllFit, peakBytes, type Capabilities, type Manifest, type ModelNeeds, type Provider, type SessionInfo } from "../../runtime/index.js";
import type { Choice, Problem } from "../state.js";
import { bytes } from "./format.js";
import { problemOf } from "./problem.js";

/** The verdict: `problem` is null where no known limit is exceeded; then `headline` and `sentence` say more. */
export interface Fit {
  readonly problem: Problem | null;
  readonly headline: string;
  readonly sentence: string;
}

type Placed = readonly [ModelNeeds, Provider];

/** List the models that `choice` loads, each with its needs and its provider. */
export function placedModels(manifest: Manifest, session: SessionInfo, choice: Choice): readonly Placed[] {
  const placed: Placed[] = [
    [needs("target", manifest.target, manifest.files), choice.target],
    [needs("drafter", manifest.drafter, manifest.files), choice.drafter],
  ];
  const full = session.full_drafter;
  if (choice.withFull && full !== null) placed.push([needs("full drafter", full, full.files), choice.drafter]);
  return placed;
}

/** Check by the runtime's own rules whether the models fit this device. */
export function fit(placed: readonly Placed[], capabilities: Capabilities): Fit {
  try {
    checkAllFit(placed, capabilities);
  } catch (error) {
    return { problem: problemOf(error), headline: "", sentence: "" };
  }
  const peak = peakBytes(placed);
  const { memoryGigabytes } = capabilities;
  const known = memoryGigabytes !== null && peak <= memoryGigabytes * 1e9;
  return {
    problem: null,
    headline: known ? "It fits." : "It may fit.",
    sentence: `It takes about ${bytes(peak)} of memory at its peak; ${memoryWords(memoryGigabytes)}.`,
  };
}

function memoryWords(memoryGigabytes: number | null): string {
  if (memoryGigabytes === null) return "this browser does not say how much there is";
  return `this device has ${memoryGigabytes >= 8 ? "8 GB or more" : `about ${memoryGigabytes} GB`}`;
}

interface Entry {
  readonly graph: string;
  readonly data: readonly string[];
  readonly largest_tensor_bytes: number;
  readonly half: boolean;
  readonly operators: readonly string[];
}

function needs(name: string, entry: Entry, files: Manifest["files"]): ModelNeeds {
  return {
    name,
    largestTensorBytes: entry.largest_tensor_bytes,
    half: entry.half,
    operators: entry.operators,
    fileBytes: [entry.graph, ...entry.data].reduce((total, path) => total + (files[path]?.bytes ?? 0), 0),
  };
}
