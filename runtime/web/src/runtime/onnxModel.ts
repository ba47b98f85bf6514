/** Owns `OnnxModel`: a `LanguageModel` over a loaded decoder graph. */

import type { Cache } from "./cache.js";
import { demand } from "./errors.js";
import { FlatLogits, requireContext, type LanguageModel, type Pass } from "./model.js";
import { Tensor, type Graph } from "./session.js";
import { IDS, LOGITS, MASK, POSITIONS, type Signature } from "./signature.js";

/** The parts of an `OnnxModel`. */
export interface ModelParts {
  readonly graph: Graph;
  readonly signature: Signature;
  readonly cache: Cache;
  readonly contextLength: number;
}

/** A model over a graph, with keys and values of its own. */
export class OnnxModel implements LanguageModel {
  private readonly tokens: number[] = [];

  constructor(private readonly parts: ModelParts) {}

  get tokenIds(): readonly number[] {
    return this.tokens;
  }

  get length(): number {
    return this.tokens.length;
  }

  get contextLength(): number {
    return this.parts.contextLength;
  }

  async read(tokenIds: readonly number[]): Promise<Pass> {
    const total = this.length + tokenIds.length;
    demand(tokenIds.length > 0, "nothing to read", { got: "0 tokens" });
    requireContext(total, this.contextLength);
    const { graph, cache } = this.parts;
    const feeds = { ...this.inputs(tokenIds, total), ...cache.pasts() };
    const outputs = await graph.run(feeds, { [LOGITS]: null, ...cache.presents() });
    cache.written(outputs);
    this.tokens.push(...tokenIds);
    const logits = outputs[LOGITS] as Tensor;
    return { logits: new FlatLogits(logits.data as Float32Array, tokenIds.length, this.parts.signature.vocabSize) };
  }

  rewind(length: number): void {
    const right = length >= 0 && length <= this.length;
    demand(right, `cannot rewind to ${length}: only ${this.length} tokens were read`);
    this.tokens.length = length;
  }

  /** Free keys and values, and the weights with the last model that uses them. */
  async release(): Promise<void> {
    this.parts.cache.release();
    await this.parts.graph.release();
  }

  private inputs(tokenIds: readonly number[], total: number): Record<string, Tensor> {
    const known: Record<string, Tensor> = {
      [IDS]: integers(tokenIds),
      [MASK]: integers(new Array<number>(total).fill(1)),
      [POSITIONS]: integers(tokenIds.map((_, place) => this.length + place)),
    };
    return Object.fromEntries(Object.entries(known).filter(([name]) => this.parts.signature.feeds.has(name)));
  }
}

/** Return a tensor of one row of int64. */
function integers(values: readonly number[]): Tensor {
  return new Tensor("int64", BigInt64Array.from(values, BigInt), [1, values.length]);
}
