/** Owns `LanguageModel`, the port by which decoding knows a model, and the passes that bring it to a prompt. */

import { demand } from "./errors.js";
import { acceptedPrefix } from "./verify.js";

/** Tokens that a model's memory holds unless the caller says otherwise. */
export const CONTEXT_LENGTH = 2048;

/** Rows of one piece of a prompt; bounds the logits that are kept at once. */
export const PREFILL_ROWS = 32;

/** Returns seconds that never decrease, such as `() => performance.now() / 1000`. */
export type Clock = () => number;

/** The clock of a caller who measures nothing. */
export const stoppedClock: Clock = () => 0;

/** Logits (rows, width), row by row. */
export interface Logits {
  readonly rows: number;
  readonly width: number;
  /** Return the (width,) scores of row `index`; valid until the model's next `read`. */
  row(index: number): Float32Array;
}

/** Results of one `LanguageModel.read`: row i of `logits` scores what follows the i-th token read. */
export interface Pass {
  readonly logits: Logits;
}

/** A causal language model that remembers what it has read. */
export interface LanguageModel {
  /** The tokens in the model's memory, oldest first. */
  readonly tokenIds: readonly number[];
  /** The number of tokens in the memory. */
  readonly length: number;
  /** The largest number of tokens that the memory can hold. */
  readonly contextLength: number;
  /**
   * Append tokens to the memory; row i of the result belongs to `tokenIds[i]`.
   * Throws `EdgedraftError`, with nothing read, when the memory would overflow.
   */
  read(tokenIds: readonly number[]): Promise<Pass>;
  /** Forget everything after the first `length` tokens. */
  rewind(length: number): void;
}

/**
 * Make `model` hold `tokenIds`, keeping the beginning they share with what it has read; return the last row of logits.
 * At least two tokens are read where there are two, because one-row kernels may round differently.
 */
export async function prefill(model: LanguageModel, tokenIds: readonly number[]): Promise<Float32Array> {
  const shared = acceptedPrefix(model.tokenIds, tokenIds);
  model.rewind(Math.min(shared, Math.max(tokenIds.length - 2, 0)));
  return catchUp(model, tokenIds);
}

/** Read the rest of `tokenIds`, whose beginning `model` must have read; return the last row of logits. */
export async function catchUp(model: LanguageModel, tokenIds: readonly number[]): Promise<Float32Array> {
  let last: Float32Array | undefined;
  for (const piece of promptPieces(tokenIds.slice(model.length))) {
    const { logits } = await model.read(piece);
    last = logits.row(logits.rows - 1);
  }
  if (last === undefined) throw new Error("catchUp: nothing to read");
  return last;
}

/** Cut `tokenIds` into pieces of at most `rows` + 1, never leaving a last piece of one. */
export function* promptPieces(tokenIds: readonly number[], rows = PREFILL_ROWS): Generator<readonly number[]> {
  let start = 0;
  while (start < tokenIds.length) {
    let end = start + rows;
    if (end >= tokenIds.length - 1) end = tokenIds.length;
    yield tokenIds.slice(start, end);
    start = end;
  }
}

/** Refuse a text of `total` tokens that is longer than the context. */
export function requireContext(total: number, contextLength: number): void {
  const remedy = "shorten the prompt or open the bundle with a larger context";
  demand(total <= contextLength, `the context holds ${contextLength} tokens`, { got: total, remedy });
}

/** Logits (rows, width) over one flat array. */
export class FlatLogits implements Logits {
  constructor(
    private readonly values: Float32Array,
    readonly rows: number,
    readonly width: number,
  ) {}

  row(index: number): Float32Array {
    return this.values.subarray(index * this.width, (index + 1) * this.width);
  }
}
