/** Owns loading and unloading the models; no other file keeps the opened engine. */

import type { EngineSettings, Progress } from "../../runtime/index.js";
import type { OpenEngine, Ports, Site, Tuned } from "../ports.js";
import { busyWith, type Choice, type Problem, type State } from "../state.js";
import type { Store } from "../store.js";
import { problemOf } from "../words/problem.js";
import { tunedOptions } from "../words/tuned.js";

export interface LoadingActions {
  load(): Promise<void>;
  cancelLoading(): void;
  unload(): Promise<void>;
  forget(): Promise<void>;
}

/** Holder of the opened engine, which is null before loading and after unloading. */
export interface EngineBox {
  engine: OpenEngine | null;
}

export function loadingActions(store: Store<State>, ports: Ports, box: EngineBox): LoadingActions {
  let abort = new AbortController();
  return {
    async load() {
      const { opening, choice } = store.read();
      if (opening.stage !== "open" || busyWith(store.read()) !== null) return;
      abort = new AbortController();
      const { signal } = abort;
      const progress: Progress = (what, done, total) => {
        if (!signal.aborted) store.update(() => ({ loading: { stage: "running", what, done, total } }));
      };
      progress("", 0, 0);
      try {
        const engine = await ports.openEngine(opening.site, settingsOf(choice), progress, signal);
        box.engine = engine;
        const { providers, hasFull } = engine;
        const tuned = await tunedOrNot(engine, progress, signal);
        store.update((state) => ({
          loading: { stage: "loaded", providers, hasFull, threads: choice.threads, tuned },
          chat: { ...state.chat, options: { ...state.chat.options, ...tunedOptions(tuned) } },
          tab: state.tab === "start" ? "chat" : state.tab,
        }));
      } catch (error) {
        store.update(() => ({
          loading: signal.aborted ? { stage: "idle", stopped: true } : { stage: "failed", problem: problemOf(error) },
        }));
      }
      await lookAgain(store, ports, opening.site);
    },

    cancelLoading() {
      abort.abort();
    },

    async unload() {
      if (busyWith(store.read()) !== null) return;
      const { engine } = box;
      box.engine = null;
      store.update(() => ({ loading: { stage: "idle", stopped: false } }));
      await engine?.close();
    },

    async forget() {
      const { opening } = store.read();
      if (opening.stage !== "open" || busyWith(store.read()) !== null) return;
      await ports.forget();
      await lookAgain(store, ports, opening.site);
    },
  };
}

/** Tune the opened models; where that is skipped or fails they run by the bundle's own plan. */
async function tunedOrNot(engine: OpenEngine, progress: Progress, signal: AbortSignal): Promise<Tuned | Problem | null> {
  try {
    return await engine.tune(progress, signal);
  } catch (error) {
    return signal.aborted ? null : problemOf(error);
  }
}

function settingsOf(choice: Choice): EngineSettings {
  const { target, drafter, threads, contextLength, withFull } = choice;
  return { targetProvider: target, drafterProvider: drafter, threads, contextLength, withFull };
}

/** List again the files to load, after the files stored on this device have changed. */
async function lookAgain(store: Store<State>, ports: Ports, site: Site): Promise<void> {
  const wanted = await ports.wantedFiles(site, store.read().choice.withFull);
  store.update(() => ({ wanted }));
}
