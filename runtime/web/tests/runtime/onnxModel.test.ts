/** Owns the laws of a memory over a graph: what a pass is fed, and what a rewind and a failed pass leave. */

import { expect, test } from "vitest";
import { CpuCache } from "../../src/runtime/cache.js";
import { OnnxModel } from "../../src/runtime/onnxModel.js";
import { Tensor, type Graph } from "../../src/runtime/session.js";
import type { Signature } from "../../src/runtime/signature.js";
import { refusalOf } from "./fakes.js";

type Feeds = Record<string, Tensor>;

const CACHES = [{ name: "past.0.key", present: "present.0.key", heads: 1, width: 2, type: "float32" }] as const;

/** A graph that keeps what it is fed, and answers like GroupQueryAttention: a present never shorter than its past. */
class FakeGraph implements Graph {
  readonly inputs = [];
  readonly outputs = [];
  readonly fed: Feeds[] = [];
  broken = false;

  async run(feeds: Feeds): Promise<Feeds> {
    if (this.broken) throw new Error("broken");
    this.fed.push(feeds);
    const [rows, total] = [feeds.input_ids!.dims[1]!, feeds.attention_mask!.dims[1]!];
    const length = Math.max(total, feeds["past.0.key"]!.dims[2]!);
    return {
      logits: new Tensor("float32", Float32Array.from({ length: rows * 3 }, (_, place) => place), [1, rows, 3]),
      "present.0.key": new Tensor("float32", new Float32Array(length * 2), [1, 1, length, 2]),
    };
  }

  async release(): Promise<void> {}
}

function opened(feeds: string[]): { graph: FakeGraph; model: OnnxModel } {
  const graph = new FakeGraph();
  const signature: Signature = { feeds: new Set(feeds), caches: CACHES, vocabSize: 3 };
  return { graph, model: new OnnxModel({ graph, signature, cache: new CpuCache(CACHES), contextLength: 6 }) };
}

const numbers = (tensor: Tensor | undefined): number[] => Array.from(tensor?.data as BigInt64Array, Number);

test("a pass is fed its ids, their places, a mask over all that counts and the last pass's presents", async () => {
  const { graph, model } = opened(["input_ids", "attention_mask", "position_ids"]);
  const { logits } = await model.read([7, 8]);
  expect([logits.rows, logits.width, Array.from(logits.row(1))]).toEqual([2, 3, [3, 4, 5]]);
  await model.read([9]);
  const [first, second] = graph.fed;
  expect([numbers(first?.input_ids), numbers(first?.attention_mask), numbers(first?.position_ids)]).toEqual([[7, 8], [1, 1], [0, 1]]);
  expect([numbers(second?.input_ids), numbers(second?.attention_mask), numbers(second?.position_ids)]).toEqual([[9], [1, 1, 1], [2]]);
  expect([first?.["past.0.key"]?.dims, second?.["past.0.key"]?.dims]).toEqual([[1, 1, 0, 2], [1, 1, 2, 2]]);
});

test("a rewind shortens the mask alone: the past stays as long as it was", async () => {
  const { graph, model } = opened(["input_ids", "attention_mask"]);
  await model.read([7, 8, 9, 10]);
  model.rewind(1);
  await model.read([5]);
  expect([numbers(graph.fed[1]?.attention_mask), graph.fed[1]?.["past.0.key"]?.dims[2], [...model.tokenIds]]).toEqual([[1, 1], 4, [7, 5]]);
  expect(Object.keys(graph.fed[1] ?? {})).not.toContain("position_ids");
  expect(await refusalOf(() => model.rewind(3))).toBe("cannot rewind to 3: only 2 tokens were read");
});

test("a pass that fails or does not fit leaves the memory as it was", async () => {
  const { graph, model } = opened(["input_ids", "attention_mask"]);
  await model.read([7, 8]);
  graph.broken = true;
  expect(await refusalOf(() => model.read([9]))).toBe("broken");
  expect(await refusalOf(() => model.read([1, 2, 3, 4, 5]))).toBe("the context holds 6 tokens, got 7 - shorten the prompt or open the bundle with a larger context");
  expect(await refusalOf(() => model.read([]))).toBe("nothing to read, got 0 tokens");
  graph.broken = false;
  await model.read([9]);
  expect([[...model.tokenIds], graph.fed.at(-1)?.["past.0.key"]?.dims[2]]).toEqual([[7, 8, 9], 2]);
});
