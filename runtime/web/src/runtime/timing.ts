/** Owns timing real rounds of a pair: drafts of every length in turn, so that a slow moment affects all of them alike. */

import { speculativeRounds } from "./decoding.js";
import { demand } from "./errors.js";
import type { Clock, LanguageModel } from "./model.js";
import { LENGTHS, WARM_UP_LENGTH, affordableLengths, passSeconds, type TimedRound } from "./passes.js";
import type { Progress } from "./progress.js";
import { random, type Random } from "./random.js";
import type { Round } from "./rounds.js";
import { total } from "./statistics.js";
import { TokenDrafter, type StopRule, type TokenOffer, type TokenSource } from "./tokenDrafter.js";

export const LEAST_TURNS = 3;
export const MOST_TURNS = 40;

/** What `timeRounds` calls its work to `progress`. */
export const TIMING_PASSES = "timing passes";

const IN_ORDER = 3;
const WARM_UP_TURNS = 2;
const SEED = 0;

/** An answer is begun again behind so many tokens, so that all turns have contexts of about one length. */
const ANSWER_TOKENS = 192;

/** A pair whose passes are timed as they are, unpadded; `contextLength` is the shorter one of both models. */
export interface TimedPair {
  readonly target: LanguageModel;
  readonly source: TokenSource;
  readonly contextLength: number;
}

/** The clock of the passes, when to end by it, and how to tell and to stop. */
export interface TimingSettings {
  readonly clock: Clock;
  readonly deadline: number;
  readonly progress: Progress;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Decode turn after turn until `clock` reaches `deadline` or enough were timed; return the rounds of each turn, at least 3
 * turns. Where so many turns would last longer, turns go without the longest drafts. An abort throws its reason.
 */
export async function timeRounds(pair: TimedPair, promptIds: readonly number[], settings: TimingSettings): Promise<readonly (readonly TimedRound[])[]> {
  const { clock, deadline, progress } = settings;
  const tried = LENGTHS.filter((length) => length <= WARM_UP_LENGTH);
  const warmUp: (readonly TimedRound[])[] = [];
  for await (const turn of timedTurns(pair, promptIds, tried, settings)) if (warmUp.push(turn) === WARM_UP_TURNS) break;
  const left = deadline - clock();
  const lengths = affordableLengths(passSeconds(warmUp.at(-1) ?? []), left / (LEAST_TURNS + 1));
  const turns: (readonly TimedRound[])[] = [];
  const enough = (): boolean => turns.length >= LEAST_TURNS && (turns.length >= MOST_TURNS || clock() >= deadline);
  while (!enough()) {
    for await (const turn of timedTurns(pair, promptIds, lengths, settings)) {
      turns.push(turn);
      const done = Math.max(1 - (deadline - clock()) / left, turns.length / MOST_TURNS);
      progress(TIMING_PASSES, Math.round(100 * Math.min(Math.max(done, 0), 1)), 100);
      if (enough()) break;
    }
  }
  return turns;
}

/** Yield the turns of one answer, at least one; the first round of each only warms up the second. */
async function* timedTurns(
  { target, source, contextLength }: TimedPair,
  promptIds: readonly number[],
  lengths: readonly number[],
  { clock, signal }: TimingSettings,
): AsyncGenerator<readonly TimedRound[]> {
  const most = contextLength - promptIds.length - total(lengths, (length) => length + 1);
  demand(most > 0, "tuning: expected a longer context", { got: contextLength, remedy: "choose a longer conversation" });
  const drafter = new TokenDrafter(source, new InTurn(shuffledTurns(lengths)), clock);
  let before: Round | null = null;
  let turn: TimedRound[] = [];
  let [place, tokens] = [0, 0];
  for await (const round of speculativeRounds(target, drafter, promptIds, undefined, { clock })) {
    signal?.throwIfAborted();
    if (before !== null) {
      tokens += round.tokenIds.length;
      if (place > 0) turn.push(timed(round, before));
      place = (place + 1) % lengths.length;
    }
    before = round;
    if (place > 0 || tokens === 0) continue;
    yield turn;
    turn = [];
    if (tokens >= Math.min(most, ANSWER_TOKENS)) return;
  }
}

function timed({ drafted, drafterSeconds, targetSeconds }: Round, before: Round): TimedRound {
  const afterFull = before.drafted > 0 && before.drafted === before.accepted;
  return { drafted, afterFull, afterPlain: before.drafted === 0, drafterSeconds, targetSeconds };
}

/** Drafts as many tokens as the next of `lengths` says, draft by draft. */
class InTurn implements StopRule {
  private length = 0;

  constructor(private readonly lengths: Iterator<number>) {}

  choose(offers: readonly TokenOffer[], drafted: number): TokenOffer | null {
    if (drafted === 0) this.length = this.lengths.next().value as number;
    return drafted < this.length ? (offers[0] ?? null) : null;
  }
}

/** Yield the lengths of turn after turn: plain steps and a draft first, then drafts in an order that changes. */
function* shuffledTurns(lengths: readonly number[]): Generator<number> {
  const next = random(SEED);
  while (true) yield* [...lengths.slice(0, IN_ORDER), ...shuffled(lengths.slice(IN_ORDER), next)];
}

function shuffled(values: readonly number[], next: Random): number[] {
  const places = values.map((value) => ({ value, key: next() }));
  return places.sort((one, other) => one.key - other.key).map(({ value }) => value);
}
