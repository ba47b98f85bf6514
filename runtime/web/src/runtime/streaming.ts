/** Owns streamed text: token ids become whole characters, held back where a stop text may begin. */

import type { Round } from "./rounds.js";

/** Returns the text of ids, without special tokens. */
export type Decode = (tokenIds: readonly number[]) => string;

/**
 * A piece of the answer; `drafted` is true when its last token was an accepted draft.
 * `tokenIds` are the tokens since the last piece, `logProbs` the target's log-probabilities of them where asked for.
 */
export interface TextPiece {
  readonly text: string;
  readonly drafted: boolean;
  readonly tokenIds: readonly number[];
  readonly logProbs?: readonly number[];
}

const BROKEN = "\ufffd"; // decoders write it for bytes that are no whole character yet

/** The text of one answer. */
export class TextStream {
  /** True once a stop string is complete. */
  stopped = false;
  private readonly stops: readonly string[];
  private held = "";
  /** Ids that are decoded again: the last ones emitted, which may change the text of the next, and those not yet emitted. */
  private window: number[] = [];
  private emitted = 0;

  constructor(
    private readonly decode: Decode,
    stops: readonly string[] = [],
    /** Ids of tokens that stand for single bytes. */
    private readonly byteIds: ReadonlySet<number> = new Set(),
  ) {
    this.stops = stops.filter((stop) => stop !== "");
  }

  /** Add `tokenId` and return the text that it makes certain. */
  push(tokenId: number): string {
    this.window.push(tokenId);
    // What a token of one byte says depends on the bytes behind it, up to the next other token.
    return this.release(this.byteIds.has(tokenId) ? "" : this.whole());
  }

  /** Return the text still held back; bytes at the end that never became a whole character are left out. */
  finish(): string {
    const rest = this.held + this.unreturned().replace(/\ufffd+$/, "");
    [this.held, this.window, this.emitted] = ["", [], 0];
    return rest;
  }

  /** Return the window's text beyond what was emitted, unless it ends within a character. */
  private whole(): string {
    const text = this.unreturned();
    if (text === "" || text.endsWith(BROKEN)) return "";
    this.window = this.window.slice(this.emitted);
    this.emitted = this.window.length;
    return text;
  }

  private unreturned(): string {
    const before = this.decode(this.window.slice(0, this.emitted));
    return this.decode(this.window).slice(before.length);
  }

  private release(text: string): string {
    this.held += text;
    const places = this.stops.map((stop) => this.held.indexOf(stop)).filter((place) => place >= 0);
    if (places.length > 0) {
      this.stopped = true;
      const ready = this.held.slice(0, Math.min(...places));
      [this.held, this.window, this.emitted] = ["", [], 0];
      return ready;
    }
    const keep = Math.max(0, ...this.stops.map((stop) => overlap(this.held, stop)));
    const ready = this.held.slice(0, this.held.length - keep);
    this.held = this.held.slice(this.held.length - keep);
    return ready;
  }
}

/** Stream an answer's text, token by token, ending early when a stop string of `stream` appears. */
export async function* textPieces(rounds: AsyncIterable<Round>, stream: TextStream): AsyncGenerator<TextPiece> {
  let tokenIds: number[] = [];
  let logProbs: number[] = [];
  let drafted = false;
  const piece = (text: string): TextPiece => ({ text, drafted, tokenIds, ...(logProbs.length > 0 && { logProbs }) });
  for await (const round of rounds) {
    for (const [position, tokenId] of round.tokenIds.entries()) {
      const text = stream.push(tokenId);
      tokenIds.push(tokenId);
      logProbs.push(...(round.logProbs?.slice(position, position + 1) ?? []));
      drafted = position < round.accepted;
      if (text !== "" || stream.stopped) {
        yield piece(text);
        [tokenIds, logProbs] = [[], []];
      }
      if (stream.stopped) return;
    }
  }
  const rest = stream.finish();
  if (rest !== "" || tokenIds.length > 0) yield piece(rest);
}

/** Return the length of the longest end of `text` that begins `stop`. */
function overlap(text: string, stop: string): number {
  for (let size = Math.min(text.length, stop.length - 1); size > 0; size -= 1) {
    if (text.endsWith(stop.slice(0, size))) return size;
  }
  return 0;
}
