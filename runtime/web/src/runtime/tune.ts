/** Owns tuning an engine's bundle on this device: timing its passes, choosing how to draft, and the plan that follows. */

import { choose, type TuningChoice } from "./choosing.js";
import type { Engine } from "./engine.js";
import type { DecodingPlan } from "./plan.js";
import { timeRounds, type TimingSettings } from "./timing.js";

/** What the target goes on with while its passes are timed. */
const TEXT =
  "A queue holds the tasks that wait. Each worker takes the oldest task, does it, and reports the result. When one fails, it " +
  "goes back to the end of the queue, at most three times. Write down, step by step, how the queue, the workers and the " +
  "reports work together, and then show it with a short example of five tasks and two workers:\n\n1.";

/** Return the plan for this device, called `device`; null where the bundle holds no forecast. An abort throws its reason. */
export async function runTune(engine: Engine, device: string, settings: TimingSettings): Promise<DecodingPlan | null> {
  const { manifest, paddedTarget, drafters } = engine.models;
  if (manifest.forecast === null) return null;
  const contextLength = Math.min(engine.contextLength, manifest.drafter_context_length ?? Infinity);
  const promptIds = engine.encodePrompt(TEXT).slice(0, Math.floor(contextLength / 4));
  const pair = { target: paddedTarget(UNPADDED), source: drafters.trimmed, contextLength };
  return tunedPlan(manifest.plan, choose(manifest.forecast, await timeRounds(pair, promptIds, settings)), device);
}

/** Times by which no pass is padded. */
const UNPADDED = [1];

/** Return `plan` with what was chosen and timed on `device`. */
export function tunedPlan(plan: DecodingPlan, choice: TuningChoice, device: string): DecodingPlan {
  const { best, plain, speculate, speedUp, chanceToPay, passes } = choice;
  return {
    ...plan,
    draft_length: best.draftLength,
    predicted_tokens_per_second: best.tokensPerSecond,
    predicted_plain_tokens_per_second: plain.tokensPerSecond,
    predicted_block_efficiency: best.blockEfficiency,
    predicted_acceptance_rate: best.acceptanceRate,
    target_pass_seconds: passes.target,
    drafter_pass_seconds: [passes.drafter.next, passes.drafter.next + passes.drafter.afterFull],
    speculate,
    reason: `${speculate ? "speculate" : "do not speculate"}, tuned on this device`,
    device,
    speed_up_low: speedUp.low,
    speed_up_high: speedUp.high,
    chance_to_pay: chanceToPay,
    policy: best.policy,
  };
}
