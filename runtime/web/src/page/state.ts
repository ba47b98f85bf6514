/** Owns the shape of everything the page shows, and how it begins. */

import type { BenchResult, Engine, ProbeReport, Provider } from "../runtime/index.js";
import type { Site, WantedFile } from "./ports.js";
import { NO_COUNTS, type Counts } from "./words/live.js";

export const TABS = ["start", "chat", "bench", "probe"] as const;
export type Tab = (typeof TABS)[number];

/** An error in words, as `EdgedraftError` has them. */
export interface Problem {
  readonly rule: string;
  readonly got?: string;
  readonly remedy?: string;
}

export type Opening =
  | { readonly stage: "opening" }
  | { readonly stage: "failed"; readonly problem: Problem }
  | { readonly stage: "open"; readonly site: Site };

/** What the user chose to run where. */
export interface Choice {
  readonly target: Provider;
  readonly drafter: Provider;
  readonly threads: number;
  readonly contextLength: number;
  readonly withFull: boolean;
}

export type Loading =
  | { readonly stage: "idle"; readonly stopped: boolean }
  | { readonly stage: "running"; readonly what: string; readonly done: number; readonly total: number }
  | { readonly stage: "failed"; readonly problem: Problem }
  | { readonly stage: "loaded"; readonly providers: Engine["providers"]; readonly threads: number; readonly hasFull: boolean };

/** Text of one origin: `drafted` runs were proposed by the drafter and kept by the target. */
export interface Run {
  readonly text: string;
  readonly drafted: boolean;
}

export interface ChatMessage {
  readonly role: "user" | "assistant";
  readonly runs: readonly Run[];
}

/** Who drafts: nobody, the bundle's trimmed drafter, the full-vocabulary one, or a look into the text so far. */
export type Drafts = "none" | "trimmed" | "full" | "ngram";

export interface ChatOptions {
  readonly drafts: Drafts;
  readonly draftLength: number;
  readonly temperature: number;
  readonly maxNewTokens: number;
}

export interface Chat {
  readonly messages: readonly ChatMessage[];
  readonly typed: string;
  readonly options: ChatOptions;
  readonly counts: Counts;
  readonly answering: boolean;
  /** The user asked to stop; the pass that runs now is still awaited. */
  readonly stopping: boolean;
  readonly problem: Problem | null;
  /** How many of the oldest messages no longer fitted before the newest answer. */
  readonly leftOut: number;
  /** What a screen reader is told: only that an answer began, ended or failed. */
  readonly announced: string;
}

/** Work of the bench and of the probe: `done` of `total` of `what`, which began `elapsedSeconds` ago. */
export type Work<Report> =
  | { readonly stage: "idle"; readonly stopped: boolean }
  | Running
  | { readonly stage: "failed"; readonly problem: Problem }
  | { readonly stage: "done"; readonly report: Report; readonly posting: Posting };

export interface Running {
  readonly stage: "running";
  readonly what: string;
  readonly done: number;
  readonly total: number;
  readonly elapsedSeconds: number;
  readonly stopping: boolean;
}

/** Where a result stands on its way to the laptop; `off` where there is no server to take it. */
export type Posting = "off" | "sending" | "sent" | Problem;

export interface Bench {
  readonly maxNewTokens: number;
  readonly work: Work<BenchResult>;
}

export interface Probe {
  readonly name: string;
  readonly providers: readonly Provider[];
  readonly work: Work<ProbeReport>;
}

export interface State {
  readonly tab: Tab;
  readonly opening: Opening;
  readonly choice: Choice;
  readonly wanted: readonly WantedFile[];
  readonly loading: Loading;
  readonly chat: Chat;
  readonly bench: Bench;
  readonly probe: Probe;
}

export const INITIAL: State = {
  tab: "start",
  opening: { stage: "opening" },
  choice: { target: "wasm", drafter: "wasm", threads: 1, contextLength: 2048, withFull: false },
  wanted: [],
  loading: { stage: "idle", stopped: false },
  chat: {
    messages: [],
    typed: "",
    options: { drafts: "trimmed", draftLength: 1, temperature: 0, maxNewTokens: 256 },
    counts: NO_COUNTS,
    answering: false,
    stopping: false,
    problem: null,
    leftOut: 0,
    announced: "",
  },
  bench: { maxNewTokens: 64, work: { stage: "idle", stopped: false } },
  probe: { name: "", providers: [], work: { stage: "idle", stopped: false } },
};

/** What keeps the device busy, in words, or null when it is free for something else. */
export function busyWith(state: State): string | null {
  if (state.loading.stage === "running") return "loading";
  if (state.chat.answering) return "answering";
  if (state.bench.work.stage === "running") return "measuring";
  if (state.probe.work.stage === "running") return "probing";
  return null;
}
