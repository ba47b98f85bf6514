/** Owns the type of the page's state, and the state that it begins with. */

import { CONTEXT_LENGTH, type BenchResult, type Engine, type ProbeReport, type Provider } from "../runtime/index.js";
import type { Site, Tuned, WantedFile } from "./ports.js";
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

/** The user's choice of models, providers and limits. */
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
  | Loaded;

/** The open models; `tuned` is the plan that was tuned here, why there is none, or null where none was to be made. */
export interface Loaded {
  readonly stage: "loaded";
  readonly providers: Engine["providers"];
  readonly threads: number;
  readonly hasFull: boolean;
  readonly tuned: Tuned | Problem | null;
}

/** Text of one origin: the target accepted `drafted` runs from the drafter, and wrote the others. */
export interface Run {
  readonly text: string;
  readonly drafted: boolean;
}

export interface ChatMessage {
  readonly role: "user" | "assistant";
  readonly runs: readonly Run[];
}

/** The source of drafts: none, the bundle's trimmed drafter, the full-vocabulary one, or lookup in the text so far. */
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
  /** True after the user asked to stop, until the running pass ends. */
  readonly stopping: boolean;
  readonly problem: Problem | null;
  /** The number of oldest messages that no longer fitted when the newest answer began. */
  readonly leftOut: number;
  /** The announcement for screen readers: only that an answer began, ended or failed. */
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

/** The state of sending a result to the computer; `off` where no server takes it. */
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
  choice: { target: "wasm", drafter: "wasm", threads: 1, contextLength: CONTEXT_LENGTH, withFull: false },
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

/** Return what keeps the device busy, in words, or null when it is free. */
export function busyWith(state: State): string | null {
  if (state.loading.stage === "running") return "loading";
  if (state.chat.answering) return "answering";
  if (state.bench.work.stage === "running") return "measuring";
  if (state.probe.work.stage === "running") return "probing";
  return null;
}
