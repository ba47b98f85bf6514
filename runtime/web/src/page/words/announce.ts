/** Owns the announcements for screen readers: beginnings and ends, never each token or percent. */

import type { State, Work } from "../state.js";
import { benchVerdict } from "./verdict.js";

/** Return one line for each part of the page: loading, chat, bench, probe. */
export function announcements(state: State): readonly string[] {
  return [
    loadingLine(state),
    state.chat.announced,
    workLine(state.bench.work, "Measuring", ({ report }) => benchVerdict(report)?.sentence ?? "Measured"),
    workLine(state.probe.work, "Probing", () => "The probe is done"),
  ];
}

function loadingLine({ loading }: State): string {
  if (loading.stage === "running") return "Loading the models";
  if (loading.stage === "loaded") return "The models are ready";
  return loading.stage === "idle" && loading.stopped ? "Loading stopped" : "";
}

function workLine<Report>(work: Work<Report>, doing: string, done: (report: Report) => string): string {
  if (work.stage === "running") return doing;
  if (work.stage === "done") return done(work.report);
  return work.stage === "idle" && work.stopped ? `${doing} stopped` : "";
}
