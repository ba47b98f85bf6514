/** Owns the list of a bundle's files that a model needs, and their download with one progress over all. */

import { EdgedraftError } from "./errors.js";
import type { FileLoader, WantedFile } from "./files.js";
import { IndexMap } from "./indexMap.js";
import { MANIFEST_NAME, checkInside, parseManifest, type FileEntry, type Manifest } from "./manifest.js";
import type { ModelNeeds } from "./needs.js";
import type { Progress } from "./progress.js";
import { readIntegers } from "./safetensors.js";
import type { GraphFiles } from "./session.js";
import { fetchJson, type FullDrafter } from "./sessionInfo.js";

/** One model: the files of its graph and external data, and what it needs of a device. */
export interface ModelSource {
  readonly graph: WantedFile;
  readonly data: readonly WantedFile[];
  readonly needs: ModelNeeds;
}

/** The fields that a model has in a manifest and in a session alike. */
interface Described {
  readonly graph: string;
  readonly data: readonly string[];
  readonly largest_tensor_bytes: number;
  readonly half: boolean;
  readonly operators: readonly string[];
}

export const TEXT_FILES = ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"] as const;

const INDEX_MAP_TENSOR = "target_ids";

/** Read the manifest of the bundle at `url` (ending in a slash). */
export async function readManifest(url: URL): Promise<Manifest> {
  return parseManifest(await fetchJson(new URL(MANIFEST_NAME, url)));
}

/** Read and check the map in `bytes`; throws `EdgedraftError` naming `file` when it is not valid. */
export function readIndexMap(bytes: Uint8Array, targetVocabSize: number, file: string): IndexMap {
  const ids = readIntegers(bytes, INDEX_MAP_TENSOR, file);
  try {
    return new IndexMap(ids, targetVocabSize);
  } catch (error) {
    if (!(error instanceof EdgedraftError)) throw error;
    throw new EdgedraftError(`${file}: ${error.rule}`, { got: error.got, remedy: "export the bundle again" });
  }
}

/** Return the target or the trimmed drafter of a bundle. */
export function modelOf(manifest: Manifest, role: "target" | "drafter", bundle: URL): ModelSource {
  return sourceOf(role, manifest[role], manifest.files, bundle);
}

/** Return the full-vocabulary drafter that a session offers. */
export function fullModelOf(full: FullDrafter, base: URL): ModelSource {
  return sourceOf("full drafter", full, full.files, base);
}

/** Return one listed file; a file that is not listed has no hash to check, and throws `EdgedraftError`. */
export function wanted(name: string, files: Readonly<Record<string, FileEntry>>, base: URL): WantedFile {
  checkInside(name);
  const entry = files[name];
  if (entry === undefined) throw new EdgedraftError(`files: ${name} is not listed`, { remedy: "export the bundle again" });
  return { name, url: new URL(name, base), ...entry };
}

function sourceOf(name: string, model: Described, files: Readonly<Record<string, FileEntry>>, base: URL): ModelSource {
  const graph = wanted(model.graph, files, base);
  const data = model.data.map((path) => wanted(path, files, base));
  const fileBytes = [graph, ...data].reduce((sum, file) => sum + file.bytes, 0);
  const { largest_tensor_bytes: largestTensorBytes, half, operators } = model;
  return { graph, data, needs: { name, largestTensorBytes, half, operators, fileBytes } };
}

/** Downloads files, with one progress over the bytes of all of them. */
export class Download {
  private done = 0;

  constructor(
    private readonly loader: FileLoader,
    private readonly total: number,
    private readonly progress: Progress,
    private readonly signal?: AbortSignal,
  ) {}

  /** Load one file; an abort throws its reason, even when the file is already on this device. */
  async file(file: WantedFile): Promise<Uint8Array> {
    this.signal?.throwIfAborted();
    const report = (bytes: number): void => this.progress("loading files", this.done + bytes, this.total);
    const data = await this.loader.load(file, report, this.signal);
    this.done += file.bytes;
    report(0);
    return data;
  }

  /** Load a model's graph and data for ONNX Runtime; the graph names its data by paths relative to itself. */
  async model(source: ModelSource): Promise<GraphFiles> {
    const graph = await this.file(source.graph);
    const folder = source.graph.name.slice(0, source.graph.name.lastIndexOf("/") + 1);
    const data = [];
    for (const file of source.data) {
      const path = file.name.startsWith(folder) ? file.name.slice(folder.length) : file.name;
      data.push({ path, data: await this.file(file) });
    }
    return { name: source.needs.name, graph, data };
  }
}

/** Return the bytes of these files together. */
export function totalBytes(files: readonly WantedFile[]): number {
  return files.reduce((sum, file) => sum + file.bytes, 0);
}
