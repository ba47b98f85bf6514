/** Owns assembling an engine's parts: checking that they fit, downloading, checking and opening them, in that order. */

import { Download, TEXT_FILES, fullModelOf, modelOf, readIndexMap, readManifest, totalBytes, wanted, type ModelSource } from "./bundle.js";
import { readCapabilities, usableThreads, type Provider } from "./capabilities.js";
import { EdgedraftError, demand, firstLine } from "./errors.js";
import { FileLoader, sleep, type WantedFile } from "./files.js";
import { IndexMap } from "./indexMap.js";
import { longestContext, type Manifest } from "./manifest.js";
import type { LanguageModel } from "./model.js";
import { checkAllFit } from "./needs.js";
import { openModel, type ModelSettings, type OpenedModel } from "./opening.js";
import type { Progress } from "./progress.js";
import { Runtime } from "./session.js";
import type { SessionInfo } from "./sessionInfo.js";
import { ModelTokenSource, type Drafters } from "./sources.js";
import { openStorage, persistStorage } from "./storage.js";
import { TextCodec } from "./text.js";

/** Settings of an engine. `minimumRows` is the least number of rows of a target pass; 1 where it is left out. */
export interface EngineSettings {
  readonly targetProvider: Provider;
  readonly drafterProvider: Provider;
  readonly threads: number;
  readonly contextLength: number;
  readonly device?: GPUDevice;
  readonly withFull?: boolean;
  readonly minimumRows?: number;
}

/** A bundle whose models are open. */
export interface OpenBundle {
  readonly manifest: Manifest;
  readonly codec: TextCodec;
  readonly providers: { readonly target: Provider; readonly drafter: Provider };
  readonly target: LanguageModel;
  /** The same target, padded by other times of its passes. */
  paddedTarget(passSeconds: readonly number[]): LanguageModel;
  readonly drafters: Drafters;
  release(): Promise<void>;
}

interface Sources {
  readonly target: ModelSource;
  readonly drafter: ModelSource;
  readonly full: ModelSource | null;
}

/** Open the bundle that `session` offers; see `Engine.open`. */
export async function openBundle(
  session: SessionInfo,
  base: URL,
  settings: EngineSettings,
  progress: Progress,
  signal?: AbortSignal,
): Promise<OpenBundle> {
  const bundle = new URL(session.bundle, base);
  const manifest = await readManifest(bundle);
  const sources = sourcesOf(manifest, session, bundle, base, settings.withFull === true);
  const runtimes = await startRuntimes(sources, settings);
  const { texts, map } = smallFiles(manifest, bundle);
  const models = modelsOf(sources);
  const download = new Download(await fileLoader(), totalBytes([...texts, map, ...models.flatMap(filesOf)]), progress, signal);
  const texting = new Map<string, Uint8Array>();
  for (const file of texts) texting.set(file.name, await download.file(file));
  const codec = codecOf(texting);
  const indexMap = readIndexMap(await download.file(map), manifest.target_vocab_size, manifest.index_map);
  checkMap(indexMap, manifest);
  const opening = new Opening(download, manifest, settings, progress, models.length);
  try {
    const target = await opening.open(sources.target, runtimes.target, manifest.target_vocab_size);
    const drafter = await opening.open(sources.drafter, runtimes.drafter, manifest.plan.draft_vocab_size);
    const full = sources.full && (await opening.open(sources.full, runtimes.drafter, null));
    const drafters = {
      trimmed: new ModelTokenSource(drafter.model, indexMap),
      full: full && new ModelTokenSource(full.model, IndexMap.identity(full.vocabSize, manifest.target_vocab_size)),
    };
    const providers = { target: settings.targetProvider, drafter: settings.drafterProvider };
    return { manifest, codec, providers, target: target.model, paddedTarget: target.padded, drafters, release: () => opening.release() };
  } catch (error) {
    await opening.release();
    throw error;
  }
}

/** List every file that `openBundle` downloads. */
export function filesToLoad(manifest: Manifest, session: SessionInfo, base: URL, withFull: boolean): readonly WantedFile[] {
  const bundle = new URL(session.bundle, base);
  const { texts, map } = smallFiles(manifest, bundle);
  return [...texts, map, ...modelsOf(sourcesOf(manifest, session, bundle, base, withFull)).flatMap(filesOf)];
}

function smallFiles(manifest: Manifest, bundle: URL): { texts: readonly WantedFile[]; map: WantedFile } {
  const texts = TEXT_FILES.filter((name) => Object.hasOwn(manifest.files, name)).map((name) => wanted(name, manifest.files, bundle));
  return { texts, map: wanted(manifest.index_map, manifest.files, bundle) };
}

function modelsOf(sources: Sources): readonly ModelSource[] {
  return [sources.target, sources.drafter, ...(sources.full ? [sources.full] : [])];
}

function filesOf(model: ModelSource): readonly WantedFile[] {
  return [model.graph, ...model.data];
}

/** Create the loader of this page's downloads. */
export async function fileLoader(): Promise<FileLoader> {
  await persistStorage();
  return new FileLoader({ storage: await openStorage(), fetch: (url, init) => fetch(url, init), sleep });
}

function sourcesOf(manifest: Manifest, session: SessionInfo, bundle: URL, base: URL, withFull: boolean): Sources {
  const remedy = "start edgedraft phone with it, or open the engine without";
  demand(!withFull || session.full_drafter !== null, "the server offers no full-vocabulary drafter", { remedy });
  return {
    target: modelOf(manifest, "target", bundle),
    drafter: modelOf(manifest, "drafter", bundle),
    full: withFull && session.full_drafter !== null ? fullModelOf(session.full_drafter, base) : null,
  };
}

/** Check that everything fits, then start the providers; two models on one provider share it. */
async function startRuntimes(sources: Sources, settings: EngineSettings): Promise<{ target: Runtime; drafter: Runtime }> {
  const { targetProvider, drafterProvider, device } = settings;
  const capabilities = await readCapabilities(device);
  const needs = [
    [sources.target.needs, targetProvider],
    [sources.drafter.needs, drafterProvider],
    ...(sources.full ? [[sources.full.needs, drafterProvider] as const] : []),
  ] as const;
  checkAllFit(needs, capabilities);
  const threads = usableThreads(settings.threads, capabilities);
  const target = await Runtime.start(targetProvider, threads, device);
  const drafter = drafterProvider === targetProvider ? target : await Runtime.start(drafterProvider, threads, device);
  return { target, drafter };
}

/** Opens models one after another, each right after its download, so that the files of only one are in memory at a time. */
class Opening {
  private readonly opened: OpenedModel[] = [];

  constructor(
    private readonly download: Download,
    private readonly manifest: Manifest,
    private readonly settings: EngineSettings,
    private readonly progress: Progress,
    private readonly count: number,
  ) {}

  async open(source: ModelSource, runtime: Runtime, vocabSize: number | null): Promise<OpenedModel> {
    const files = await this.download.model(source);
    this.progress(`opening the ${source.needs.name}`, this.opened.length, this.count);
    const model = await openModel(runtime, files, this.modelSettings(source, runtime, vocabSize));
    this.opened.push(model);
    this.progress(`opening the ${source.needs.name}`, this.opened.length, this.count);
    return model;
  }

  async release(): Promise<void> {
    for (const model of this.opened.splice(0)) await model.release();
  }

  private modelSettings(source: ModelSource, runtime: Runtime, vocabSize: number | null): ModelSettings {
    const { plan, provider, context_length: ofTarget, drafter_context_length: ofDrafter } = this.manifest;
    const isTarget = source.needs.name === "target";
    // A drafter whose context is shorter drafts nothing behind it.
    const { target, drafter } = this.manifest;
    const most = longestContext(isTarget ? target : drafter, isTarget ? ofTarget : Math.min(ofTarget, ofDrafter ?? ofTarget));
    const planned = isTarget ? plan.target_pass_seconds : plan.drafter_pass_seconds;
    return {
      contextLength: Math.min(this.settings.contextLength, most),
      vocabSize,
      passSeconds: provider === runtime.provider ? planned : [],
      minimumRows: isTarget ? (this.settings.minimumRows ?? 1) : 1,
    };
  }
}

function codecOf(files: ReadonlyMap<string, Uint8Array>): TextCodec {
  const text = (name: string): string | null => {
    const bytes = files.get(name);
    return bytes === undefined ? null : new TextDecoder().decode(bytes);
  };
  const [tokenizer, config, template] = TEXT_FILES;
  return new TextCodec({ tokenizer: json(tokenizer, text(tokenizer)), config: json(config, text(config)), template: text(template) });
}

function json(name: string, text: string | null): unknown {
  try {
    return text === null ? null : JSON.parse(text);
  } catch (error) {
    throw new EdgedraftError(`${name}: not JSON`, { got: firstLine(error), remedy: "export the bundle again" });
  }
}

function checkMap(indexMap: IndexMap, manifest: Manifest): void {
  const [size, remedy] = [manifest.plan.draft_vocab_size, "export the bundle again or copy it afresh"];
  const right = indexMap.draftVocabSize === size;
  demand(right, `draft_vocab_size: the index map must hold ${size} ids`, { got: indexMap.draftVocabSize, remedy });
  const ends = manifest.end_token_ids;
  demand(indexMap.holds(ends), `the index map must hold the end-of-turn ids [${ends.join(", ")}]`, { remedy });
}
