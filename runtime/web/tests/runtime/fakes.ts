/** Owns the fakes that the runtime's tests share: a scripted model, whole and trimmed, and a Round collector. */

import { IndexMap } from "../../src/runtime/indexMap.js";
import { FlatLogits, requireContext, type LanguageModel, type Pass } from "../../src/runtime/model.js";
import type { Round } from "../../src/runtime/rounds.js";

/** Logits of what follows a text. */
export type Script = (context: readonly number[]) => readonly number[];

/** A model whose logits are a function of all that it has read; `passes` keeps what each read was given. */
export class ScriptedModel implements LanguageModel {
  readonly passes: number[][] = [];
  private readonly held: number[] = [];

  constructor(
    private readonly script: Script,
    private readonly vocabSize: number,
    readonly contextLength = 256,
  ) {}

  get tokenIds(): readonly number[] {
    return this.held;
  }

  get length(): number {
    return this.held.length;
  }

  async read(tokenIds: readonly number[]): Promise<Pass> {
    requireContext(this.length + tokenIds.length, this.contextLength);
    this.passes.push([...tokenIds]);
    const values = tokenIds.flatMap((tokenId) => {
      this.held.push(tokenId);
      return [...this.script(this.held)];
    });
    return { logits: new FlatLogits(Float32Array.from(values), tokenIds.length, this.vocabSize) };
  }

  rewind(length: number): void {
    if (length > this.length || length < 0) throw new Error(`rewind to ${length} of ${this.length}`);
    this.held.length = length;
  }
}

/** A round that nobody timed. */
export function untimed(tokenIds: readonly number[], drafted: number, accepted: number): Round {
  return { tokenIds, drafted, accepted, targetSeconds: 0, drafterSeconds: 0 };
}

/** Logits that hang on the last two tokens and a salt, spread over `vocabSize` ids. */
export function mixedScript(vocabSize: number, salt: number): Script {
  return (context) => {
    const [before, last] = [context.at(-2) ?? 0, context.at(-1) ?? 0];
    return Array.from({ length: vocabSize }, (_, id) => ((Math.imul(id * 31 + last * 17 + before * 7 + salt, 2654435761) >>> 8) % 1000) / 250);
  };
}

/** The rows of `script` that `indexMap` keeps: a trimmed drafter. */
export function trimmedScript(script: Script, indexMap: IndexMap): Script {
  return (context) => {
    const full = script(context);
    return Array.from(indexMap.targetIds, (id) => full[id] as number);
  };
}

/** The first `count` things that come. */
export async function take<T>(things: AsyncIterable<T>, count: number): Promise<T[]> {
  const found: T[] = [];
  for await (const thing of things) {
    found.push(thing);
    if (found.length === count) break;
  }
  return found;
}

/** What `work` throws, as one line. */
export async function refusalOf(work: () => unknown): Promise<string> {
  try {
    await work();
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error("nothing was refused");
}
