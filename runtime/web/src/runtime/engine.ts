/** Owns `Engine`: one open bundle, and starting answers on its models. */

import { openBundle, type EngineSettings, type OpenBundle } from "./assembly.js";
import type { Provider } from "./capabilities.js";
import { fitConversation, type FittedPrompt } from "./conversation.js";
import { GREEDY, sampled, speculativeRounds, type DecodingMethod } from "./decoding.js";
import { demand } from "./errors.js";
import { limited } from "./limits.js";
import type { Manifest } from "./manifest.js";
import type { DecodingPlan } from "./plan.js";
import { buildDrafter, type Policy } from "./policies.js";
import type { Progress } from "./progress.js";
import { random } from "./random.js";
import type { Round } from "./rounds.js";
import { checkedSampling, type SamplingSettings } from "./sampling.js";
import { readSession, type SessionInfo } from "./sessionInfo.js";
import { drafterOf, type Drafters } from "./sources.js";
import { TextStream, textPieces, type TextPiece } from "./streaming.js";
import type { Message } from "./text.js";

/**
 * Options of an answer. Without `sampling` the best token is always taken; without `draftLength` the plan's is used. The fixed
 * policy drafts by the bundle's trimmed drafter unless `drafter` says otherwise. The same `seed` draws the same text
 * again in this runtime, not the text that the Python runtime draws.
 * `logProbs` asks for the target's log-probability of every token, before temperature and filters.
 * `onRound` is called with every target pass before its tokens are yielded; the first one is the prompt's own.
 */
export interface DecodingOptions {
  readonly maxNewTokens: number;
  readonly policy: Policy;
  readonly drafter?: keyof Drafters;
  readonly draftLength?: number;
  readonly sampling?: SamplingSettings;
  readonly seed?: number;
  readonly logProbs?: boolean;
  readonly stop?: readonly string[];
  readonly signal?: AbortSignal;
  readonly onRound?: (round: Round) => void;
}

/** Target and drafters of a bundle, ready to decode one answer at a time. */
export class Engine {
  private answering = false;

  private constructor(private parts: OpenBundle) {}

  /**
   * Open the bundle that the server at `base` (ending in a slash) offers. What the device cannot run is refused before
   * anything large is downloaded. `progress` counts bytes while files load, then the models as they open.
   * Pass `session` where it was read before, or where plain files without a session.json are served.
   */
  static async open(
    base: URL,
    settings: EngineSettings,
    progress: Progress,
    signal?: AbortSignal,
    session?: SessionInfo,
  ): Promise<Engine> {
    return new Engine(await openBundle(session ?? (await readSession(base)), base, settings, progress, signal));
  }

  get manifest(): Manifest {
    return this.parts.manifest;
  }

  get providers(): { readonly target: Provider; readonly drafter: Provider } {
    return this.parts.providers;
  }

  /** Tokens that prompt and answer may have together. */
  get contextLength(): number {
    return this.parts.target.contextLength;
  }

  get hasFull(): boolean {
    return this.parts.drafters.full !== null;
  }

  /** The open models, for benches only. */
  get models(): OpenBundle {
    return this.parts;
  }

  /** Decode by `plan` from now on, made for the target's provider here: its draft length, and padding by its times. */
  use(plan: DecodingPlan): void {
    const { manifest, providers, paddedTarget } = this.parts;
    const target = paddedTarget(plan.target_pass_seconds);
    this.parts = { ...this.parts, manifest: { ...manifest, plan, provider: providers.target }, target };
  }

  /** Return the token ids of `text`; special tokens are recognised in it, and none are added. */
  encode(text: string): number[] {
    return this.parts.codec.encode(text);
  }

  /** Return the token ids of a text that no chat template wrote, with the tokenizer's own special tokens. */
  encodePrompt(text: string): number[] {
    return this.parts.codec.encodePrompt(text);
  }

  /** Return the token ids of a conversation that the assistant is to continue. */
  encodeChat(messages: readonly Message[]): number[] {
    return this.parts.codec.encodeChat(messages);
  }

  /** Return the text of `ids` without special tokens. */
  decode(ids: readonly number[]): string {
    return this.parts.codec.decode(ids);
  }

  /**
   * Encode a conversation, leaving out its oldest messages where it would leave too few tokens for the answer, which gets
   * `maxNewTokens` or a quarter of the context, whichever is less.
   */
  fit(messages: readonly Message[], maxNewTokens: number): FittedPrompt {
    const context = this.contextLength;
    const maxTokens = context - Math.max(Math.min(maxNewTokens, Math.floor(context / 4)), 1);
    return fitConversation((kept) => this.encodeChat(kept), messages, maxTokens);
  }

  /** Answer `promptIds`. Close the generator or abort the signal to end it: the engine stays usable. */
  async *rounds(promptIds: readonly number[], options: DecodingOptions): AsyncGenerator<Round> {
    this.checkPrompt(promptIds);
    this.checkIds("logit_bias", Object.keys(options.sampling?.logitBias ?? {}).map(Number));
    const { manifest, target, drafters } = this.parts;
    const { policy: name, drafter = "trimmed", draftLength = manifest.plan.draft_length, logProbs } = options;
    const drafting = buildDrafter({ name, draftLength }, { source: () => drafterOf(drafter, drafters) });
    const rounds = speculativeRounds(target, drafting, promptIds, methodOf(options), { logProbs });
    const limits = { maxNewTokens: options.maxNewTokens, endTokenIds: manifest.end_token_ids };
    demand(!this.answering, "an answer is being written", { remedy: "end it before you ask for the next" });
    this.answering = true;
    try {
      for await (const round of limited(rounds, limits, options.signal)) {
        options.onRound?.(round);
        yield round;
      }
    } finally {
      this.answering = false;
    }
  }

  /** Stream the answer to a conversation, piece by piece. */
  stream(messages: readonly Message[], options: DecodingOptions): AsyncGenerator<TextPiece> {
    const rounds = this.rounds(this.fit(messages, options.maxNewTokens).tokenIds, options);
    const { codec } = this.parts;
    return textPieces(rounds, new TextStream((ids) => codec.decode(ids), options.stop, codec.special.byteIds));
  }

  /** Free all memory. */
  async close(): Promise<void> {
    await this.parts.release();
  }

  private checkPrompt(promptIds: readonly number[]): void {
    demand(promptIds.length > 0, "the prompt holds no token", { remedy: "write a prompt" });
    const context = this.contextLength;
    demand(promptIds.length < context, `the prompt must be shorter than the context of ${context} tokens`, {
      got: promptIds.length,
      remedy: "shorten the prompt or open the bundle with a larger context",
    });
    this.checkIds("prompt", promptIds);
  }

  private checkIds(what: string, tokenIds: readonly number[]): void {
    const vocab = this.manifest.target_vocab_size;
    const wrong = tokenIds.find((id) => !(Number.isInteger(id) && id >= 0 && id < vocab));
    demand(wrong === undefined, `${what}: token ids must lie in 0..${vocab - 1}`, { got: wrong });
  }
}

function methodOf({ sampling, seed }: DecodingOptions): DecodingMethod {
  return sampling === undefined ? GREEDY : sampled(checkedSampling(sampling), random(seed));
}
