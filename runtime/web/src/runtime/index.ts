/** Owns the names that this module exports; they have the same meaning as in edgedraft's Python runtime. */

export { EdgedraftError } from "./errors.js";
export { silent, type Clock, type Progress } from "./progress.js";
export { parseManifest, type CalibrationEntry, type FileEntry, type Manifest, type ModelEntry } from "./manifest.js";
export type { Plan } from "./plan.js";
export { parseSession, readSession, type FullDrafter, type ProbeCase, type SessionInfo } from "./sessionInfo.js";
export type { LanguageModel, Logits } from "./model.js";
export { readCapabilities, usableThreads, type Capabilities, type Provider } from "./capabilities.js";
export { checkAllFit, checkFits, peakBytes, type ModelNeeds } from "./needs.js";
export type { Round } from "./rounds.js";
export type { SamplingSettings } from "./sampling.js";
export type { TextPiece } from "./generation.js";
export type { Message } from "./text.js";
export type { Spread } from "./statistics.js";
export { Engine, type DecodingOptions } from "./engine.js";
export type { Policy } from "./policies.js";
export { LONGEST_DRAFT } from "./drafter.js";
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
