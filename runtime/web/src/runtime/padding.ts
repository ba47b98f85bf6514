/** Owns padding passes to a number of rows that takes less time, and the model that does so. */

import type { LanguageModel, Logits, Pass } from "./model.js";

/** Share of a pass's time that padding must save, so that noise in the plan's times does not decide it. */
const LEAST_GAIN = 0.05;

/** WebGPU's kernels for int4 weights take tiles of rows from this many on; 2 or 3 rows cost as much or more. */
const WEBGPU_TILE = 4;

/**
 * Return the number of rows, at least `rows`, whose pass takes the least time on `provider`.
 * `passSeconds[i]` are seconds of a pass over i + 1 rows there; empty if they were not measured there. Every pass gets
 * at least `minimumRows`. A single row, a plain step, gets no more than that.
 */
export function paddedRows(rows: number, passSeconds: readonly number[], provider: string, minimumRows = 1): number {
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
 * Wraps a model: its passes are padded by `paddedRows`, and what was added is forgotten at once.
 * A pass whose padding would not fit into the memory is left as it is.
 */
export class Padded implements LanguageModel {
  constructor(
    private readonly model: LanguageModel,
    private readonly passSeconds: readonly number[],
    private readonly provider: string,
    private readonly minimumRows = 1,
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

  /** See `LanguageModel.read`; the logits of what was added are left out. */
  async read(tokenIds: readonly number[]): Promise<Pass> {
    const [rows, held] = [tokenIds.length, this.length];
    const added = paddedRows(rows, this.passSeconds, this.provider, this.minimumRows) - rows;
    if (added === 0 || held + rows + added > this.contextLength) return this.model.read(tokenIds);
    const { logits } = await this.model.read([...tokenIds, ...new Array<number>(added).fill(tokenIds.at(-1) as number)]);
    this.model.rewind(held + rows);
    return { logits: firstRows(logits, rows) };
  }

  rewind(length: number): void {
    this.model.rewind(length);
  }
}

function firstRows(logits: Logits, rows: number): Logits {
  return { rows, width: logits.width, row: (index) => logits.row(index) };
}
