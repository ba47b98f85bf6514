/** Owns the names that this module exports; they have the same meaning as in edgedraft's Python runtime. */

export { EdgedraftError } from "./errors.js";
export { silent, type Progress } from "./progress.js";
export { longestContext, parseManifest, type CalibrationEntry, type FileEntry, type Manifest, type ModelEntry } from "./manifest.js";
export type { DecodingPlan } from "./plan.js";
export { parseSession, readSession, type FullDrafter, type ProbeCase, type SessionInfo } from "./sessionInfo.js";
export { CONTEXT_LENGTH, type Clock, type LanguageModel, type Logits, type Pass } from "./model.js";
export { readCapabilities, usableThreads, type Capabilities, type Provider } from "./capabilities.js";
export { checkAllFit, checkFits, peakBytes, type ModelNeeds } from "./needs.js";
export type { Round } from "./rounds.js";
export type { SamplingSettings } from "./sampling.js";
export type { TextPiece } from "./streaming.js";
export type { Message } from "./text.js";
export type { Interval } from "./statistics.js";
export { Engine, type DecodingOptions } from "./engine.js";
export { LONGEST_DRAFT, type Policy } from "./policies.js";
export { runBench } from "./bench.js";
export type { BenchReport, Way, WayReport } from "./benching.js";
export { onnxruntimeVersion } from "./session.js";
export { clearStorage } from "./storage.js";
export { filesToLoad, type EngineSettings } from "./assembly.js";
export { readManifest } from "./bundle.js";
export { keptBytes } from "./parts.js";
export { runProbe, type ProbeOverhead, type ProbeReport, type ProbeSettings, type ProbeStep } from "./probe.js";
export { describeDevice, type DeviceReport } from "./device.js";
export { isoDate } from "./dates.js";
export { postResult, type BenchResult } from "./results.js";
