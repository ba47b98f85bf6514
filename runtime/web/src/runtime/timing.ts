/** Owns timing, apart from decoding: a `LanguageModel` that adds up the seconds of another model's passes. */

import type { LanguageModel, Logits } from "./model.js";
import type { Clock } from "./progress.js";

/** Wraps a model; `seconds` adds up the time of its `read` calls on `clock`. */
export class TimedModel implements LanguageModel {
  seconds = 0;

  constructor(
    private readonly model: LanguageModel,
    private readonly clock: Clock,
  ) {}

  get tokenIds(): readonly number[] {
    return this.model.tokenIds;
  }

  get length(): number {
    return this.model.length;
  }

  get contextLength(): number {
    return this.model.contextLength;
  }

  get vocabSize(): number {
    return this.model.vocabSize;
  }

  async read(tokenIds: readonly number[]): Promise<Logits> {
    const started = this.clock();
    const logits = await this.model.read(tokenIds);
    this.seconds += this.clock() - started;
    return logits;
  }

  rewind(length: number): void {
    this.model.rewind(length);
  }

  release(): Promise<void> {
    return this.model.release();
  }
}
