/** Owns the special tokens that a tokenizer adds to a text by itself, and its tokens of single bytes. */

import type { Tokenizer } from "@huggingface/tokenizers";
import type { Plain } from "./records.js";

const WORD = "a";

/** Ids before and behind a text, and ids of the tokens `<0x00>` … `<0xFF>` where the decoder joins such to characters. */
export class SpecialTokens {
  constructor(
    private readonly before: readonly number[] = [],
    private readonly behind: readonly number[] = [],
    readonly byteIds: ReadonlySet<number> = new Set(),
  ) {}

  /** Return a text's ids between the special ones; those that are there already are not doubled. */
  around(tokenIds: readonly number[]): number[] {
    const before = same(tokenIds.slice(0, this.before.length), this.before) ? [] : this.before;
    const behind = same(tokenIds.slice(tokenIds.length - this.behind.length), this.behind) ? [] : this.behind;
    return [...before, ...tokenIds, ...behind];
  }
}

/** Read the special tokens: the post-processor's; where it begins no text, the settings' `add_bos_token` says whether `bos` does. */
export function readSpecialTokens(tokenizer: Tokenizer, config: Plain, bos: string | undefined): SpecialTokens {
  const [whole, plain] = [true, false].map((added) => tokenizer.encode(WORD, { add_special_tokens: added }).ids) as [number[], number[]];
  const start = Math.max(whole.findIndex((_, place) => same(whole.slice(place, place + plain.length), plain)), 0);
  const before = whole.slice(0, start);
  const first = config["add_bos_token"] === true && bos !== undefined ? tokenizer.token_to_id(bos) : undefined;
  if (first !== undefined && !before.includes(first)) before.unshift(first);
  return new SpecialTokens(before, whole.slice(start + plain.length), byteIds(tokenizer));
}

function byteIds(tokenizer: Tokenizer): ReadonlySet<number> {
  const letter = tokenizer.token_to_id("<0x41>");
  if (letter === undefined || tokenizer.decode([letter]) !== "A") return new Set();
  const names = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
  return new Set(names.flatMap((name) => tokenizer.token_to_id(name) ?? []));
}

function same(one: readonly number[], other: readonly number[]): boolean {
  return one.length === other.length && one.every((tokenId, place) => tokenId === other[place]);
}
