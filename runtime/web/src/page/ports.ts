/** Owns what the page asks of the world: the runtime, the server, the clock; tests bring their own. */

import type {
  BenchReport,
  BenchResult,
  Capabilities,
  DecodingOptions,
  DeviceReport,
  Engine,
  EngineSettings,
  Manifest,
  Message,
  ProbeReport,
  ProbeSettings,
  Progress,
  Round,
  SessionInfo,
  TextPiece,
} from "../runtime/index.js";

/** What was found where the page was opened. */
export interface Site {
  readonly base: URL;
  readonly session: SessionInfo;
  readonly manifest: Manifest;
  readonly capabilities: Capabilities;
  readonly device: DeviceReport;
  /** Bytes that the browser still lets this page keep, or null where it does not say. */
  readonly freeBytes: number | null;
}

/** One file that loading needs; `keptBytes` of it are on this device already. */
export interface WantedFile {
  readonly path: string;
  readonly bytes: number;
  readonly keptBytes: number;
}

/** Called with every target pass of an answer, before its text. */
export type OnRound = (round: Round) => void;

/** What the page does with an opened bundle. */
export interface OpenEngine {
  readonly providers: Engine["providers"];
  readonly hasFull: boolean;
  answer(messages: readonly Message[], options: DecodingOptions, onRound: OnRound): AsyncGenerator<TextPiece>;
  bench(prompts: readonly string[], maxNewTokens: number, progress: Progress, signal: AbortSignal): Promise<BenchReport>;
  /** How many of the messages, the oldest, must be left out for an answer of `maxNewTokens` to fit. */
  leftOut(messages: readonly Message[], maxNewTokens: number): number;
  close(): Promise<void>;
}

/** Everything outside the page. */
export interface Ports {
  openSite(): Promise<Site>;
  wantedFiles(site: Site, withFull: boolean): Promise<readonly WantedFile[]>;
  openEngine(site: Site, settings: EngineSettings, progress: Progress, signal: AbortSignal): Promise<OpenEngine>;
  probe(session: SessionInfo, base: URL, settings: ProbeSettings, progress: Progress, signal: AbortSignal): Promise<ProbeReport>;
  /** Remove everything that was kept on this device. */
  forget(): Promise<void>;
  post(base: URL, kind: "bench" | "probe", result: BenchResult | ProbeReport): Promise<void>;
  save(name: string, value: unknown): void;
  /** Seconds that only grow. */
  clock(): number;
  today(): string;
  /** A fresh seed for drawing tokens. */
  seed(): number;
  readonly onnxruntime: string;
}
