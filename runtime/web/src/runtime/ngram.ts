/** Owns drafting by lookup: the tokens that followed the last few tokens at an earlier place in the text. */

import { demand } from "./errors.js";
import { TokenSource, type Match, type TokenOffer } from "./tokenDrafter.js";

export const SHORTEST = 2;
export const LONGEST = 5;

/** The n-grams of a growing text, each with the place behind its latest occurrence. */
export class NgramIndex {
  private readonly tokenIds: number[] = [];
  private readonly places = new Map<string, number>();

  constructor(
    private readonly shortest = SHORTEST,
    private readonly longest = LONGEST,
  ) {
    demand(shortest >= 1 && shortest <= longest, "n-grams: expected 1 <= shortest <= longest", { got: `${shortest}, ${longest}` });
  }

  /** Add the new tokens of `textIds`, which must begin with all tokens added before. */
  extend(textIds: readonly number[]): void {
    for (let place = this.tokenIds.length; place < textIds.length; place += 1) {
      for (let length = Math.min(this.longest, place); length >= this.shortest; length -= 1) {
        this.places.set(this.tokenIds.slice(place - length).join(), place);
      }
      this.tokenIds.push(textIds[place] as number);
    }
  }

  /** Find the token that followed the longest known ending of `contextIds`; null where no ending is known. */
  find(contextIds: readonly number[]): Match | null {
    for (let length = Math.min(this.longest, contextIds.length); length >= this.shortest; length -= 1) {
      const place = this.places.get(contextIds.slice(-length).join());
      if (place !== undefined) return { tokenId: this.tokenIds[place] as number, length };
    }
    return null;
  }
}

/** Offers what followed the last few tokens before, without a model: prompt-lookup decoding. */
export class NgramSource extends TokenSource {
  private index = new NgramIndex();

  override async begin(): Promise<void> {
    this.index = new NgramIndex();
  }

  /** Drafts are not taken in: they may be refused. */
  override start(committed: readonly number[]): void {
    this.index.extend(committed);
  }

  override offers(contextIds: readonly number[]): readonly TokenOffer[] {
    const match = this.index.find(contextIds);
    return match === null ? [] : [match];
  }
}
