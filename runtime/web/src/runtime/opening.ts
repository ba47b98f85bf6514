/** Owns opening a bundle's models: the graph, its keys and values on the GPU or the CPU, and padding. */

import { CpuCache, GpuCache, type Cache } from "./cache.js";
import type { LanguageModel } from "./model.js";
import { OnnxModel } from "./onnxModel.js";
import { Padded } from "./padding.js";
import type { Graph, GraphFiles, Runtime } from "./session.js";
import { readSignature, requireInPlace, type Signature } from "./signature.js";
import { demand } from "./errors.js";

/**
 * Settings of a model; `vocabSize` is the width that its logits must have, null for any. `passSeconds` are those of a
 * pass by its rows, empty where nobody measured them; every pass gets `minimumRows` at least.
 */
export interface ModelSettings {
  readonly contextLength: number;
  readonly vocabSize: number | null;
  readonly passSeconds: readonly number[];
  readonly minimumRows: number;
}

/** An open model, the same padded by other times of passes, the width of its logits, and the way to free its memory. */
export interface OpenedModel {
  readonly model: LanguageModel;
  padded(passSeconds: readonly number[]): LanguageModel;
  readonly vocabSize: number;
  release(): Promise<void>;
}

/** Load a decoder graph and open a model over it that has read nothing. */
export async function openModel(runtime: Runtime, files: GraphFiles, settings: ModelSettings): Promise<OpenedModel> {
  requireInPlace(files.name, files.graph);
  const graph = await runtime.open(files);
  try {
    const signature = readSignature(files.name, graph.inputs, graph.outputs);
    requireWidth(files.name, signature.vocabSize, settings.vocabSize);
    const cache = cacheFor(runtime, signature, settings.contextLength);
    const model = new OnnxModel({ graph, signature, cache, contextLength: settings.contextLength });
    const padded = (passSeconds: readonly number[]) => new Padded(model, passSeconds, runtime.provider, settings.minimumRows);
    return { model: padded(settings.passSeconds), padded, vocabSize: signature.vocabSize, release: () => model.release() };
  } catch (error) {
    await release(graph);
    throw error;
  }
}

function cacheFor(runtime: Runtime, signature: Signature, contextLength: number): Cache {
  if (runtime.provider === "wasm") return new CpuCache(signature.caches);
  return new GpuCache(runtime.device, signature.caches, contextLength);
}

function requireWidth(name: string, width: number, promised: number | null): void {
  const right = promised === null || width === promised;
  demand(right, `${name}: logits must be ${promised} wide`, { got: width, remedy: "export the bundle again" });
}

async function release(graph: Graph): Promise<void> {
  await graph.release().catch(() => undefined); // the caller throws the first error, which says more
}
