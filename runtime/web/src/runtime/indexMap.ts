/** Owns `IndexMap`: the target token of each row of a trimmed drafter's LM head. */

import { demand } from "./errors.js";

/** `targetIds[draftId]` is the target token that row `draftId` of the drafter's head scores; strictly increasing. */
export class IndexMap {
  constructor(
    readonly targetIds: ArrayLike<number>,
    readonly targetVocabSize: number,
  ) {
    const count = targetIds.length;
    demand(count >= 1 && count <= targetVocabSize, `index map: expected 1..${targetVocabSize} ids`, { got: count });
    for (let place = 1; place < count; place += 1) {
      const rises = (targetIds[place] as number) > (targetIds[place - 1] as number);
      demand(rises, "index map: ids must strictly increase", { got: "a repeat or a step down" });
    }
    const [first, last] = [targetIds[0] as number, targetIds[count - 1] as number];
    demand(first >= 0 && last < targetVocabSize, `index map: ids must lie in 0..${targetVocabSize - 1}`, { got: `${first}..${last}` });
  }

  /** Return the map of a drafter that keeps the first `vocabSize` tokens of the target's `targetVocabSize`. */
  static identity(vocabSize: number, targetVocabSize = vocabSize): IndexMap {
    return new IndexMap(Uint32Array.from({ length: vocabSize }, (_, id) => id), targetVocabSize);
  }

  /** K, the number of tokens the drafter can propose. */
  get draftVocabSize(): number {
    return this.targetIds.length;
  }

  /** Return the target token id of one draft id. */
  toTarget(draftId: number): number {
    const tokenId = this.targetIds[draftId];
    demand(tokenId !== undefined, `index map: draft ids must lie in 0..${this.draftVocabSize - 1}`, { got: draftId });
    return tokenId;
  }

  /** Return the draft ids of those of the target `tokenIds` that can be drafted. */
  toDraft(tokenIds: readonly number[]): number[] {
    return tokenIds.map((tokenId) => this.place(tokenId)).filter((place) => place >= 0);
  }

  /** Return whether every one of `tokenIds` can be drafted. */
  holds(tokenIds: readonly number[]): boolean {
    return tokenIds.every((tokenId) => this.place(tokenId) >= 0);
  }

  /** Find the draft id of one target token by binary search; -1 where it has none. */
  private place(tokenId: number): number {
    let [low, high] = [0, this.targetIds.length - 1];
    while (low <= high) {
      const middle = (low + high) >> 1;
      const candidate = this.targetIds[middle] as number;
      if (candidate === tokenId) return middle;
      if (candidate < tokenId) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }
}
