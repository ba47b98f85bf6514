/** Owns padding passes to a number of rows that takes less time, and the model that does so. */

import type { Provider } from "./capabilities.js";
import type { LanguageModel, Logits } from "./model.js";

/** Share of a pass's time that padding must save, so that noise in the plan's times does not decide it. */
const LEAST_GAIN = 0.05;

/** WebGPU's kernels for int4 weights take tiles of rows from this many on; 2 or 3 rows cost as much or more. */
const WEBGPU_TILE = 4;

/** Returns the number of rows for a pass that needs `rows`; at least as many. */
export type Padding = (rows: number) => number;

/**
 * Return the number of rows, at least `rows`, whose pass takes the least time on `provider`.
 * `passSeconds[i]` are seconds of a pass over i + 1 rows there; empty if they were not measured there. Every pass gets
 * at least `minimumRows`. A single row, a plain step, gets no more than that.
 */
export function paddedRows(rows: number, passSeconds: readonly number[], provider: Provider, minimumRows = 1): number {
  const least = rows > 0 ? Math.max(rows, minimumRows) : 0;
  if (least < 2) return least;
  if (passSeconds.length === 0) return provider === "webgpu" ? Math.max(least, WEBGPU_TILE) : least;
  const seconds = (count: number): number => passSeconds[count - 1] as number;
  let best = least + 1;
  for (let more = best + 1; more <= passSeconds.length; more += 1) if (seconds(more) < seconds(best)) best = more;
  const pays = best <= passSeconds.length && seconds(best) < (1 - LEAST_GAIN) * seconds(least);
  return pays ? best : least;
}

/**
 * Pads every pass by `padding`, then forgets the extra rows and hides their logits.
 * A pass whose extra rows do not fit the context is not padded.
 */
export class PaddedModel implements LanguageModel {
  constructor(
    private readonly model: LanguageModel,
    private readonly padding: Padding,
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
    const [rows, start] = [tokenIds.length, this.length];
    const added = this.padding(rows) - rows;
    if (added === 0 || start + rows + added > this.contextLength) return this.model.read(tokenIds);
    const logits = await this.model.read([...tokenIds, ...new Array<number>(added).fill(tokenIds.at(-1) as number)]);
    this.model.rewind(start + rows);
    return firstRows(logits, rows);
  }

  rewind(length: number): void {
    this.model.rewind(length);
  }

  release(): Promise<void> {
    return this.model.release();
  }
}

function firstRows(logits: Logits, rows: number): Logits {
  return { rows, width: logits.width, row: (index) => logits.row(index) };
}
