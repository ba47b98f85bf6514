/** Owns how many rows a verify block is given, and the model that gives it them. */

import type { Provider } from "./capabilities.js";
import { FlatLogits, type LanguageModel, type Logits } from "./model.js";

/** WebGPU's kernels for int4 weights take tiles of rows from this many on; 2 or 3 rows cost as much or more. */
const WEBGPU_TILE_ROWS = 4;

/** How many rows to give a block of as many real ones; at least as many. */
export type Padding = (rows: number) => number;

/**
 * The cheapest number of rows that holds `rows`: by `passSeconds[i]`, the seconds of a pass over i + 1 rows, where the
 * bundle was planned for this provider; else at least a tile on WebGPU. The smallest of equally cheap ones.
 */
export function paddedRows(rows: number, passSeconds: readonly number[] | undefined, provider: Provider, minimumRows = 0): number {
  const least = rows > 1 ? Math.max(rows, minimumRows) : rows;
  if (passSeconds !== undefined) return cheapest(least, passSeconds);
  return provider === "webgpu" && rows > 1 ? Math.max(least, WEBGPU_TILE_ROWS) : least;
}

function cheapest(rows: number, passSeconds: readonly number[]): number {
  let best = rows;
  for (let more = rows + 1; more <= passSeconds.length; more += 1) {
    if ((passSeconds[more - 1] as number) < (passSeconds[best - 1] ?? Infinity)) best = more;
  }
  return best;
}

/** Pads what is read by `padding`; the extra rows are forgotten at once and nobody sees their logits. */
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
    const start = this.length;
    const room = this.contextLength - start;
    const rows = Math.max(tokenIds.length, Math.min(this.padding(tokenIds.length), room));
    const filler = tokenIds.at(-1) ?? 0;
    const padded = [...tokenIds, ...new Array<number>(rows - tokenIds.length).fill(filler)];
    const logits = await this.model.read(padded);
    this.model.rewind(start + tokenIds.length);
    return logits.rows === tokenIds.length ? logits : firstRows(logits, tokenIds.length);
  }

  rewind(length: number): void {
    this.model.rewind(length);
  }

  release(): Promise<void> {
    return this.model.release();
  }
}

function firstRows(logits: Logits, rows: number): Logits {
  if (rows === 0) return new FlatLogits(new Float32Array(0), 0, logits.width);
  return { rows, width: logits.width, row: (index) => logits.row(index) };
}
