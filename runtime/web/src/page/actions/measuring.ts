/** Owns the two measurements, bench and probe: running and stopping them, posting and saving their results. */

import type { BenchResult, ProbeReport, Progress, Provider } from "../../runtime/index.js";
import type { Ports, Site } from "../ports.js";
import { busyWith, type Bench, type Posting, type Probe, type State, type Work } from "../state.js";
import type { Store } from "../store.js";
import { problemOf } from "../words/problem.js";
import type { EngineBox } from "./loading.js";

export interface MeasuringActions {
  setBench(change: Partial<Pick<Bench, "maxNewTokens">>): void;
  setProbe(change: Partial<Pick<Probe, "name" | "providers">>): void;
  runBench(): Promise<void>;
  runProbe(): Promise<void>;
  stopMeasuring(kind: Kind): void;
  send(kind: Kind): Promise<void>;
  save(kind: Kind): void;
}

export type Kind = "bench" | "probe";

/** Prompts for a bench where the session has none. */
export const OWN_PROMPTS = [
  "Write a Python function that merges two sorted lists into one sorted list.",
  "Explain in three sentences what a binary search tree is good for.",
  "Write a SQL query that counts the orders of each customer in the last month.",
] as const;

export function measuringActions(store: Store<State>, ports: Ports, box: EngineBox): MeasuringActions {
  let abort = new AbortController();

  const setWork = (kind: Kind, work: Work<unknown>): void =>
    store.update((state) => ({ [kind]: { ...state[kind], work } }) as Partial<State>);

  const setPosting = (kind: Kind, posting: Posting): void => {
    const { work } = store.read()[kind];
    if (work.stage === "done") setWork(kind, { ...work, posting });
  };

  /** Run one measurement with progress, and post its result where a server takes it. */
  const measure = async <Report>(kind: Kind, site: Site, run: Run<Report>): Promise<void> => {
    if (busyWith(store.read()) !== null) return;
    abort = new AbortController();
    const { signal } = abort;
    let begun = { what: "", at: ports.clock() };
    const progress: Progress = (what, done, total) => {
      if (signal.aborted) return;
      const now = ports.clock();
      if (what !== begun.what) begun = { what, at: now };
      setWork(kind, { stage: "running", what, done, total, elapsedSeconds: now - begun.at, stopping: false });
    };
    progress("", 0, 0);
    try {
      setWork(kind, { stage: "done", report: await run(progress, signal), posting: "off" });
    } catch (error) {
      setWork(kind, signal.aborted ? { stage: "idle", stopped: true } : { stage: "failed", problem: problemOf(error) });
      return;
    }
    if (site.session.post_results) await actions.send(kind);
  };

  const actions: MeasuringActions = {
    setBench: (change) => store.update(({ bench }) => ({ bench: { ...bench, ...change } })),

    setProbe: (change) => store.update(({ probe }) => ({ probe: { ...probe, ...change } })),

    async runBench() {
      const { opening, bench } = store.read();
      const { engine } = box;
      if (opening.stage !== "open" || engine === null) return;
      const { site } = opening;
      await measure("bench", site, async (progress, signal): Promise<BenchResult> => {
        const report = await engine.bench(benchPrompts(site), bench.maxNewTokens, progress, signal);
        return { device: site.device, onnxruntime: ports.onnxruntime, date: ports.today(), provider: engine.providers, report };
      });
    },

    async runProbe() {
      const { opening, probe, choice } = store.read();
      if (opening.stage !== "open" || probe.providers.length === 0) return;
      const { session, base } = opening.site;
      const settings = { providers: ordered(probe.providers), threads: choice.threads };
      await measure("probe", opening.site, (progress, signal) => ports.probe(session, base, settings, progress, signal));
    },

    stopMeasuring(kind) {
      abort.abort();
      const { work } = store.read()[kind];
      if (work.stage === "running") setWork(kind, { ...work, stopping: true });
    },

    async send(kind) {
      const { opening } = store.read();
      const result = resultOf(store.read(), kind);
      if (result === null || opening.stage !== "open") return;
      setPosting(kind, "sending");
      try {
        await ports.post(opening.site.base, kind, result);
        setPosting(kind, "sent");
      } catch (error) {
        setPosting(kind, problemOf(error));
      }
    },

    save(kind) {
      const result = resultOf(store.read(), kind);
      if (result !== null) ports.save(`edgedraft-${kind}-${ports.today()}.json`, result);
    },
  };
  return actions;
}

type Run<Report> = (progress: Progress, signal: AbortSignal) => Promise<Report>;

/** Return the prompts that a bench runs on. */
export function benchPrompts(site: Site): readonly string[] {
  const { prompts } = site.session;
  return prompts.length > 0 ? prompts : OWN_PROMPTS;
}

function ordered(providers: readonly Provider[]): readonly Provider[] {
  return (["webgpu", "wasm"] as const).filter((provider) => providers.includes(provider));
}

/** Return the result to post or save, its device named as the user named it; null before there is one. */
function resultOf(state: State, kind: Kind): BenchResult | ProbeReport | null {
  const { work } = state[kind];
  if (work.stage !== "done") return null;
  const { report } = work;
  return { ...report, device: { ...report.device, name: state.probe.name.trim() || report.device.name } };
}
