/** Owns benching an engine's bundle: prompts as texts, and every way of decoding that the engine has open. */

import { bench, type BenchReport, type CostRatios } from "./benching.js";
import type { Engine } from "./engine.js";
import type { Clock } from "./model.js";
import type { Progress } from "./progress.js";

/**
 * Decode every prompt by the target alone, with the full-vocabulary drafter where it is open, and with the trimmed one,
 * greedily and with the plan's draft length. `clock` returns seconds; `progress` is called after every run. An abort
 * throws its reason.
 */
export function runBench(
  engine: Engine,
  prompts: readonly string[],
  maxNewTokens: number,
  clock: Clock,
  progress: Progress,
  signal?: AbortSignal,
): Promise<BenchReport> {
  const { manifest, target, drafters } = engine.models;
  const limits = { maxNewTokens, endTokenIds: manifest.end_token_ids };
  const trimmed: CostRatios = {
    parameters: manifest.drafter.parameters / manifest.target.parameters,
    bytes: manifest.drafter.weight_bytes / manifest.target.weight_bytes,
  };
  const benched = { target, drafters, draftLength: manifest.plan.draft_length, limits, ratios: { trimmed } };
  const ids = prompts.map((content) => engine.fit([{ role: "user", content }], maxNewTokens).tokenIds);
  return bench(benched, ids, clock, progress, signal);
}
