/** Owns `Ports`: everything outside the page, so that tests can replace it. */

import type {
  BenchReport,
  BenchResult,
  Capabilities,
  DecodingPlan,
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

/** The server's offer, and the features of this device. */
export interface Site {
  readonly base: URL;
  readonly session: SessionInfo;
  readonly manifest: Manifest;
  readonly capabilities: Capabilities;
  readonly device: DeviceReport;
  /** Bytes that the browser still lets this page store, or null where it does not say. */
  readonly freeBytes: number | null;
}

/** One file that loading needs; `keptBytes` of it are stored on this device already. */
export interface WantedFile {
  readonly path: string;
  readonly bytes: number;
  readonly keptBytes: number;
}

/** Called with every target pass of an answer, before its text. */
export type OnRound = (round: Round) => void;

/** The plan that was tuned on this device; `kept`: the browser has it for the next visit. */
export interface Tuned {
  readonly plan: DecodingPlan;
  readonly kept: boolean;
}

/** The functions of an opened bundle that the page uses. */
export interface OpenEngine {
  readonly providers: Engine["providers"];
  readonly hasFull: boolean;
  /** Run by the plan that was tuned on this device, tuning now where there is none; null where the bundle cannot be tuned. */
  tune(progress: Progress, signal: AbortSignal): Promise<Tuned | null>;
  answer(messages: readonly Message[], options: DecodingOptions, onRound: OnRound): AsyncGenerator<TextPiece>;
  bench(prompts: readonly string[], maxNewTokens: number, progress: Progress, signal: AbortSignal): Promise<BenchReport>;
  /** Count the oldest messages that must be left out for an answer of `maxNewTokens` to fit. */
  leftOut(messages: readonly Message[], maxNewTokens: number): number;
  close(): Promise<void>;
}

/** The runtime, the server, the browser's storage, and the clock. */
export interface Ports {
  openSite(): Promise<Site>;
  wantedFiles(site: Site, withFull: boolean): Promise<readonly WantedFile[]>;
  openEngine(site: Site, settings: EngineSettings, progress: Progress, signal: AbortSignal): Promise<OpenEngine>;
  probe(session: SessionInfo, base: URL, settings: ProbeSettings, progress: Progress, signal: AbortSignal): Promise<ProbeReport>;
  /** Remove everything that is stored on this device. */
  forget(): Promise<void>;
  post(base: URL, kind: "bench" | "probe", result: BenchResult | ProbeReport): Promise<void>;
  save(name: string, value: unknown): void;
  /** Return seconds that never decrease. */
  clock(): number;
  today(): string;
  /** Return a fresh seed for drawing tokens. */
  seed(): number;
  readonly onnxruntime: string;
}
