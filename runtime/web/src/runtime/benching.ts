/** Owns timing ways of decoding against each other, and the resulting numbers; it needs only models. */

import { GREEDY, speculativeRounds } from "./decoding.js";
import { NO_DRAFTS } from "./drafter.js";
import { demand } from "./errors.js";
import { limited, type Limits } from "./limits.js";
import type { Clock, LanguageModel } from "./model.js";
import { buildDrafter } from "./policies.js";
import type { Progress } from "./progress.js";
import type { Round } from "./rounds.js";
import { drafterOf, type Drafters } from "./sources.js";
import {
  acceptanceRate,
  blockEfficiency,
  countRounds,
  memoryBoundSpeedUp,
  medianInterval,
  total,
  type DraftStatistics,
  type Interval,
} from "./statistics.js";

/** The ways that are compared: the target alone, with the full-vocabulary drafter, with the trimmed one. */
export type Way = "plain" | "full" | "trimmed";

/** One way of decoding over all prompts. Speeds are per prompt; milliseconds are per round; ratios are to plain. */
export interface WayReport {
  readonly tokens_per_second: Interval;
  readonly speed_up: Interval;
  readonly block_efficiency: number;
  readonly acceptance_rate: number;
  readonly rounds: number;
  readonly tokens: number;
  readonly draft_tokens_proposed: number;
  readonly draft_tokens_evaluated: number;
  readonly draft_tokens_accepted: number;
  readonly drafter_milliseconds: number;
  readonly target_milliseconds: number;
  readonly overhead_milliseconds: number;
  readonly prompt_milliseconds: number;
  readonly mbsu_by_parameters: number | null;
  readonly mbsu_by_bytes: number | null;
  readonly mbsu_by_seconds: number | null;
  readonly equal_texts: number;
}

/** Every way of decoding that ran. */
export interface BenchReport {
  readonly prompts: number;
  readonly max_new_tokens: number;
  readonly ways: Readonly<Partial<Record<Way, WayReport>>>;
}

/** A drafter's cost divided by the target's, in parameters and in bytes; null where unknown. */
export interface CostRatios {
  readonly parameters: number | null;
  readonly bytes: number | null;
}

/** The models and limits of a bench. */
export interface Benched {
  readonly target: LanguageModel;
  readonly drafters: Drafters;
  readonly draftLength: number;
  readonly limits: Limits;
  readonly ratios: Readonly<Partial<Record<Way, CostRatios>>>;
}

/** One prompt decoded one way; `promptSeconds` end with the first token, where `decodeSeconds` and `rounds` begin. */
interface PromptRun {
  readonly tokenIds: readonly number[];
  readonly rounds: readonly Round[];
  readonly tokens: number;
  readonly promptSeconds: number;
  readonly decodeSeconds: number;
}

const WARM_UP_TOKENS = 8;

/**
 * Decode every prompt in every way. Each way first begins the first prompt once, uncounted, to warm up. The order of ways
 * rotates by one with each prompt, so that no way always runs first.
 */
export async function bench(
  benched: Benched,
  prompts: readonly (readonly number[])[],
  clock: Clock,
  progress: Progress,
  signal?: AbortSignal,
): Promise<BenchReport> {
  const [first] = prompts;
  demand(first !== undefined, "bench needs at least one prompt", { got: 0 });
  const names: readonly Way[] = benched.drafters.full === null ? ["plain", "trimmed"] : ["plain", "full", "trimmed"];
  const runs = new Map<Way, PromptRun[]>(names.map((name) => [name, []]));
  const { maxNewTokens, endTokenIds } = benched.limits;
  const warmUp = { maxNewTokens: Math.min(maxNewTokens, WARM_UP_TOKENS), endTokenIds };
  const [all, parts] = [(prompts.length + 1) * names.length, { clock, ...(signal && { signal }) }];
  for (const [place, prompt] of [first, ...prompts].entries()) {
    for (let step = 0; step < names.length; step += 1) {
      const name = names[(place + step) % names.length] as Way;
      const run = await runPrompt({ ...benched, limits: place === 0 ? warmUp : benched.limits }, name, prompt, parts);
      if (place > 0) runs.get(name)?.push(run);
      progress("bench runs", place * names.length + step + 1, all);
    }
  }
  const plain = runs.get("plain") ?? [];
  const ways = Object.fromEntries(names.map((name) => [name, summarize(benched, name, runs.get(name) ?? [], plain)]));
  return { prompts: prompts.length, max_new_tokens: maxNewTokens, ways };
}

/** Decode one prompt and time its parts; the whole prompt is read again. */
async function runPrompt(
  benched: Benched,
  way: Way,
  promptIds: readonly number[],
  { clock, signal }: { clock: Clock; signal?: AbortSignal },
): Promise<PromptRun> {
  const { target, drafters, draftLength } = benched;
  const source = way === "plain" ? null : drafterOf(way, drafters);
  target.rewind(0);
  source?.rewind(0);
  const drafter = source === null ? NO_DRAFTS : buildDrafter({ name: "fixed", draftLength }, { source: () => source, clock });
  const begun = clock();
  let firstAt = begun;
  const rounds: Round[] = [];
  for await (const round of limited(speculativeRounds(target, drafter, promptIds, GREEDY, { clock }), benched.limits)) {
    signal?.throwIfAborted();
    if (rounds.push(round) === 1) firstAt = clock();
  }
  const decoded = rounds.slice(1);
  return {
    tokenIds: rounds.flatMap((round) => round.tokenIds),
    rounds: decoded,
    tokens: total(decoded, (round) => round.tokenIds.length),
    promptSeconds: firstAt - begun,
    decodeSeconds: clock() - firstAt,
  };
}

/** Compare one way's runs with the plain runs of the same prompts; answers of a single token have no speed. */
function summarize(benched: Benched, way: Way, runs: readonly PromptRun[], plain: readonly PromptRun[]): WayReport {
  const timed = runs.filter((run) => run.rounds.length > 0);
  demand(timed.length > 0, "every prompt was answered by a single token", { remedy: "bench on other prompts" });
  const counts = countRounds(runs.flatMap((run) => run.rounds));
  const milliseconds = 1e3 / Math.max(counts.rounds, 1);
  const [targetMs, drafterMs] = [targetSeconds(runs) * milliseconds, drafterSeconds(runs) * milliseconds];
  return {
    tokens_per_second: medianInterval(timed.map(tokensPerSecond)),
    speed_up: speedRatio(runs, plain),
    block_efficiency: blockEfficiency(counts),
    acceptance_rate: acceptanceRate(counts),
    ...counts,
    drafter_milliseconds: drafterMs,
    target_milliseconds: targetMs,
    overhead_milliseconds: total(runs, (run) => run.decodeSeconds) * milliseconds - targetMs - drafterMs,
    prompt_milliseconds: 1e3 * medianInterval(runs.map((run) => run.promptSeconds)).median,
    ...speedUps(benched, way, runs, plain, counts),
    equal_texts: runs.filter((run, place) => run.tokenIds.join() === plain[place]?.tokenIds.join()).length,
  };
}

function targetSeconds(runs: readonly PromptRun[]): number {
  return total(runs, (run) => total(run.rounds, (round) => round.targetSeconds));
}

function drafterSeconds(runs: readonly PromptRun[]): number {
  return total(runs, (run) => total(run.rounds, (round) => round.drafterSeconds));
}

/** Return decoded tokens per second, without the first token and the prompt. */
function tokensPerSecond(run: PromptRun): number {
  return run.decodeSeconds > 0 ? run.tokens / run.decodeSeconds : 0;
}

/** Return tokens per second of one way divided by another's, prompt by prompt. */
function speedRatio(runs: readonly PromptRun[], others: readonly PromptRun[]): Interval {
  const pairs = runs.map((run, place) => [run, others[place] as PromptRun] as const);
  const timed = pairs.filter((pair) => pair.every((run) => run.rounds.length > 0));
  return medianInterval(timed.map(([run, other]) => tokensPerSecond(run) / tokensPerSecond(other)));
}

type SpeedUps = Pick<WayReport, "mbsu_by_parameters" | "mbsu_by_bytes" | "mbsu_by_seconds">;

/** Return MBSU with the drafter's cost counted in parameters, in bytes and in measured seconds per token. */
function speedUps(benched: Benched, way: Way, runs: readonly PromptRun[], plain: readonly PromptRun[], counts: DraftStatistics): SpeedUps {
  const drafted = way !== "plain" && counts.draft_tokens_proposed > 0;
  const of = (ratio: number | null): number | null =>
    drafted && ratio !== null ? memoryBoundSpeedUp(blockEfficiency(counts), ratio, benched.draftLength) : null;
  const plainStep = targetSeconds(plain) / total(plain, (run) => run.rounds.length);
  const drafterStep = drafterSeconds(runs) / counts.draft_tokens_proposed;
  const ratios = benched.ratios[way];
  return {
    mbsu_by_parameters: of(ratios?.parameters ?? null),
    mbsu_by_bytes: of(ratios?.bytes ?? null),
    mbsu_by_seconds: of(drafterStep / plainStep),
  };
}
