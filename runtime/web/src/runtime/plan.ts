/** Owns `DecodingPlan`: the exporter's decisions for one device, and the reason. */

import { demand } from "./errors.js";
import { asBoolean, asInteger, asNumber, asString, listOf, optional, orNull, recordOf, shownFloat, type Reader } from "./records.js";

/** Below this a predicted gain is within what step times on a busy device can tell apart. */
export const WORTHWHILE_SPEED_UP = 1.03;

/**
 * The plan by which a bundle is decoded on the device it was planned for.
 * `target_pass_seconds[i]` and `drafter_pass_seconds[i]` are seconds of a pass over i + 1 tokens on that device.
 */
export interface DecodingPlan {
  readonly draft_vocab_size: number;
  readonly draft_length: number;
  readonly target_precision: string;
  readonly drafter_precision: string;
  readonly threads: number;
  readonly predicted_tokens_per_second: number;
  readonly predicted_plain_tokens_per_second: number;
  readonly predicted_block_efficiency: number;
  readonly predicted_acceptance_rate: number;
  readonly target_pass_seconds: readonly number[];
  readonly drafter_pass_seconds: readonly number[];
  readonly speculate: boolean;
  readonly reason: string;
  readonly device: string;
  readonly speed_up_low: number;
  readonly speed_up_high: number;
  readonly chance_to_pay: number;
  readonly kernels: PairKernels;
  /** The draft policy that won where several were compared; null where only fixed lengths were. */
  readonly policy: string | null;
  /** Tokens of the text that may be drafted beside the draft vocabulary. A page has no full head and drafts none. */
  readonly conversation_rows: number;
}

/** The kernels of the CPU that target and drafter were timed with; empty where that was not recorded. */
export interface PairKernels {
  readonly target: string;
  readonly drafter: string;
}

const readKernels = recordOf<PairKernels>({ target: optional(asString, ""), drafter: optional(asString, "") });

const fields = recordOf<DecodingPlan>({
  draft_vocab_size: asInteger,
  draft_length: asInteger,
  target_precision: asString,
  drafter_precision: asString,
  threads: asInteger,
  predicted_tokens_per_second: asNumber,
  predicted_plain_tokens_per_second: asNumber,
  predicted_block_efficiency: asNumber,
  predicted_acceptance_rate: asNumber,
  target_pass_seconds: listOf(asNumber),
  drafter_pass_seconds: listOf(asNumber),
  speculate: asBoolean,
  reason: asString,
  device: asString,
  speed_up_low: asNumber,
  speed_up_high: asNumber,
  chance_to_pay: asNumber,
  kernels: optional(readKernels, { target: "", drafter: "" }),
  policy: optional(orNull(asString), null),
  conversation_rows: optional(asInteger, 0),
});

const POLICIES = ["fixed", "ngram", "ngram-or-drafter", "confident", "adaptive"];
const MOST_ROWS = 4096;
const MOST_CONVERSATION_ROWS = 1024;
const LONGEST_PASS = 86_400;
const MOST = { draft_vocab_size: 2 ** 31 - 1, draft_length: MOST_ROWS, threads: 4096 };

/** Read and check a plan. */
export const readPlan: Reader<DecodingPlan> = (value, where) => {
  const plan = fields(value, where);
  for (const name of ["draft_vocab_size", "draft_length", "threads"] as const) {
    demand(plan[name] >= 1 && plan[name] <= MOST[name], `plan: ${name} must lie in 1..${MOST[name]}`, { got: plan[name] });
  }
  for (const name of ["predicted_tokens_per_second", "predicted_plain_tokens_per_second", "predicted_block_efficiency"] as const) {
    demand(plan[name] > 0 && plan[name] < Infinity, `plan: ${name} must be above 0 and finite`, { got: shownFloat(plan[name]) });
  }
  const rows = plan.conversation_rows;
  demand(rows >= 0 && rows <= MOST_CONVERSATION_ROWS, `plan: conversation_rows must lie in 0..${MOST_CONVERSATION_ROWS}`, { got: rows });
  for (const name of ["predicted_acceptance_rate", "chance_to_pay"] as const) {
    demand(plan[name] >= 0 && plan[name] <= 1, `plan: ${name} must lie in 0..1`, { got: shownFloat(plan[name]) });
  }
  const known = plan.policy === null || POLICIES.includes(plan.policy);
  demand(known, `plan: policy must be one of ${POLICIES.join(", ")}`, { got: plan.policy });
  const { speed_up_low: low, speed_up_high: high } = plan;
  demand(low > 0 && low <= high && high < Infinity, "plan: speed_up_low must be above 0 and at most speed_up_high", { got: shownTuple([low, high]) });
  for (const name of ["target_pass_seconds", "drafter_pass_seconds"] as const) {
    const count = plan[name].length;
    demand(count >= 1 && count <= MOST_ROWS, `plan: ${name}: expected 1..${MOST_ROWS} times`, { got: count });
    const bad = plan[name].find((seconds) => !(seconds > 0 && seconds < LONGEST_PASS));
    const rule = `plan: ${name} must lie above 0 and below ${LONGEST_PASS} s`;
    demand(bad === undefined, rule, { got: bad === undefined ? "" : shownFloat(bad) });
  }
  return plan;
};

/** Write floats as Python's repr writes a tuple of them. */
function shownTuple(values: readonly number[]): string {
  return `(${values.map(shownFloat).join(", ")}${values.length === 1 ? "," : ""})`;
}
