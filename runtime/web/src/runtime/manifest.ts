/** Owns `Manifest`: the contents of a bundle, as written in its edgedraft.json. */

import { EdgedraftError, demand } from "./errors.js";
import { readForecast, type AcceptanceForecast } from "./forecast.js";
import { readPlan, type DecodingPlan } from "./plan.js";
import { asBoolean, asInteger, asNumber, asObject, asString, isPrintable, listOf, mapOf, optional, orNull, recordOf, shown, shownFloat, type Reader } from "./records.js";

export const SCHEMA_VERSION = 5;

/** Schema 4 knows independent drafters alone; such a manifest is one of schema 5 without the keys that came with it. */
const READ_VERSIONS: readonly number[] = [4, SCHEMA_VERSION];

/** The kind of a drafter that decodes by itself, the only one that a page runs. */
const INDEPENDENT = "independent";

export const MANIFEST_NAME = "edgedraft.json";

/** Size and SHA-256 of one file. */
export interface FileEntry {
  readonly bytes: number;
  readonly sha256: string;
}

/**
 * One ONNX model of the bundle; `data` are its external data files, `half` is true with any float16 tensor.
 * `operators` are those outside of ONNX's own; older bundles list none. `state_bytes` is the size of its recurrent
 * states, 0 for a model without.
 */
export interface ModelEntry {
  readonly name: string;
  readonly base_model: string;
  readonly license: string;
  readonly graph: string;
  readonly precision: string;
  readonly parameters: number;
  readonly weight_bytes: number;
  readonly conversion: string;
  readonly data: readonly string[];
  readonly largest_tensor_bytes: number;
  readonly half: boolean;
  readonly operators: readonly string[];
  readonly state_bytes: number;
}

/** The prompts that ranked the draft vocabulary, and its coverage on other prompts, which scored it. */
export interface CalibrationEntry {
  readonly prompts: string;
  readonly ranking_prompts: number;
  readonly scoring_prompts: number;
  readonly ranking_tokens: number;
  readonly scoring_tokens: number;
  readonly coverage: number;
  readonly coverage_low: number;
  readonly coverage_high: number;
  readonly ranked_by: readonly string[];
}

/** The contents of a bundle. Paths are relative POSIX paths inside the bundle; token ids are the target's. */
export interface Manifest {
  readonly schema_version: number;
  readonly target: ModelEntry;
  readonly drafter: ModelEntry;
  readonly index_map: string;
  readonly target_vocab_size: number;
  readonly context_length: number;
  readonly end_token_ids: readonly number[];
  readonly tokenizer_fingerprint: string;
  readonly calibration: CalibrationEntry;
  readonly plan: DecodingPlan;
  readonly files: Readonly<Record<string, FileEntry>>;
  readonly provider: string;
  readonly divergence: unknown;
  readonly drafter_divergence: unknown;
  /** The drafter's own context; null in older bundles. */
  readonly drafter_context_length: number | null;
  readonly drafter_kind: string;
  /** How a drafter that is a layer on the target reads its states; null for the drafters that a page runs. */
  readonly layer: unknown;
  /** Accepted drafts on held-out answers, by draft length; null in older bundles. */
  readonly forecast: AcceptanceForecast | null;
  /** The drafter's full head, for rows from the conversation. A page neither fetches nor uses it. */
  readonly head_rows: unknown;
}

const MOST_FILES = 1024;
const LONGEST_NAME = 1024;
const LONGEST_PART = 255;
const MOST_TOKENS = 2 ** 24;
const MOST_CONTEXT = 2 ** 28;
const MOST_ENDS = 1024;

/** Begins an entry among the operators of a model with two rotary tables; the longest text of the first follows. */
const ROPE_SWITCH_AT = "RotaryTables/";

/** The longest text that a page computes rightly: behind it a second rotary table would need everything read again. */
export function longestContext(model: ModelEntry, contextLength: number): number {
  const switches = model.operators.filter((name) => name.startsWith(ROPE_SWITCH_AT));
  return Math.min(contextLength, ...switches.map((name) => Number(name.slice(ROPE_SWITCH_AT.length))));
}

const fileFields = recordOf<FileEntry>({ bytes: asInteger, sha256: asString });

/** Read and check the size and SHA-256 of one file. */
export const readFileEntry: Reader<FileEntry> = (value, where) => {
  const entry = fileFields(value, where);
  demand(entry.bytes >= 0, "files: expected a size of 0 bytes or more", { got: entry.bytes });
  return entry;
};

const modelFields = recordOf<ModelEntry>({
  name: asString,
  base_model: asString,
  license: asString,
  graph: asString,
  precision: asString,
  parameters: asInteger,
  weight_bytes: asInteger,
  conversion: asString,
  data: listOf(asString),
  largest_tensor_bytes: asInteger,
  half: asBoolean,
  operators: optional(listOf(asString), []),
  state_bytes: optional(asInteger, 0),
});

const readModel: Reader<ModelEntry> = (value, where) => {
  const model = modelFields(value, where);
  for (const name of ["parameters", "weight_bytes", "largest_tensor_bytes", "state_bytes"] as const) {
    demand(model[name] >= 0, `${name}: expected 0 or more`, { got: model[name] });
  }
  return model;
};

const calibrationFields = recordOf<CalibrationEntry>({
  prompts: asString,
  ranking_prompts: asInteger,
  scoring_prompts: asInteger,
  ranking_tokens: asInteger,
  scoring_tokens: asInteger,
  coverage: asNumber,
  coverage_low: asNumber,
  coverage_high: asNumber,
  ranked_by: optional(listOf(asString), []),
});

const readCalibration: Reader<CalibrationEntry> = (value, where) => {
  const entry = calibrationFields(value, where);
  for (const name of ["ranking_prompts", "scoring_prompts", "ranking_tokens", "scoring_tokens"] as const) {
    demand(entry[name] >= 0, `calibration: ${name}: expected 0 or more`, { got: entry[name] });
  }
  for (const name of ["coverage", "coverage_low", "coverage_high"] as const) {
    const right = entry[name] >= 0 && entry[name] <= 1;
    demand(right, `calibration: ${name}: expected a share in 0..1`, { got: shownFloat(entry[name]) });
  }
  return entry;
};

const readManifest = recordOf<Manifest>({
  schema_version: asInteger,
  target: readModel,
  drafter: readModel,
  index_map: asString,
  target_vocab_size: asInteger,
  context_length: asInteger,
  end_token_ids: listOf(asInteger),
  tokenizer_fingerprint: asString,
  calibration: readCalibration,
  plan: readPlan,
  files: mapOf(readFileEntry),
  provider: optional(asString, "cpu"),
  divergence: optional<unknown>((value) => value, null),
  drafter_divergence: optional<unknown>((value) => value, null),
  drafter_context_length: optional<number | null>((value, where) => (value === null ? null : asInteger(value, where)), null),
  drafter_kind: optional(asString, INDEPENDENT),
  layer: optional<unknown>((value) => value, null),
  forecast: optional(orNull(readForecast), null),
  head_rows: optional<unknown>((value) => value, null),
});

/** Check a manifest in parsed JSON; throws `EdgedraftError` naming the key that is wrong. */
export function parseManifest(value: unknown): Manifest {
  const { schema_version: version, drafter_kind: kind = INDEPENDENT } = asObject(value, "manifest");
  if (Number.isInteger(version)) requireSchema(version as number); // first: a newer manifest may hold keys unknown here
  if (typeof kind === "string") requireIndependent(kind);
  const manifest = readManifest(value, "manifest");
  requireAttentionAlone(manifest);
  const { target_vocab_size: vocab, plan, files } = manifest;
  const right = plan.draft_vocab_size <= vocab;
  demand(right, `draft_vocab_size: expected 1..${vocab}`, { got: plan.draft_vocab_size, remedy: "export the bundle again" });
  demand(vocab <= MOST_TOKENS, `target_vocab_size: expected 1..${MOST_TOKENS}`, { got: vocab });
  for (const length of [manifest.context_length, manifest.drafter_context_length]) {
    const bounded = length === null || (length >= 1 && length <= MOST_CONTEXT);
    demand(bounded, `context lengths: expected 1..${MOST_CONTEXT}`, { got: length });
  }
  checkEnds(manifest);
  const count = Object.keys(files).length;
  demand(count <= MOST_FILES, `files: expected at most ${MOST_FILES}`, { got: count });
  Object.keys(files).forEach(checkInside);
  namedFiles(manifest).forEach((name) => checkListed(manifest, name));
  return manifest;
}

/** List the files that a manifest names by role; each must be listed among its `files`. */
function namedFiles(manifest: Manifest): readonly string[] {
  const { target, drafter } = manifest;
  return [target.graph, ...target.data, drafter.graph, ...drafter.data, manifest.index_map, "tokenizer.json"];
}

function checkEnds({ end_token_ids: ends, target_vocab_size: vocab }: Manifest): void {
  demand(ends.length <= MOST_ENDS, `end_token_ids: expected at most ${MOST_ENDS}`, { got: ends.length });
  const outside = ends.find((id) => id < 0 || id >= vocab);
  const remedy = "export the bundle again";
  demand(outside === undefined, `end_token_ids: expected ids in 0..${vocab - 1}`, { got: outside ?? "", remedy });
}

function checkListed(manifest: Manifest, name: string): void {
  checkInside(name);
  const remedy = "export the bundle again or copy it afresh";
  demand(Object.hasOwn(manifest.files, name), `files: ${name} is not listed`, { remedy });
}

function requireSchema(version: number): void {
  const remedy = "export the bundle again or install a matching edgedraft";
  const rule = `schema_version: this edgedraft reads ${READ_VERSIONS.join(" and ")}`;
  demand(READ_VERSIONS.includes(version), rule, { got: version, remedy });
}

function requireIndependent(kind: string): void {
  const rule = "drafter_kind: a page runs drafters that decode by themselves, not layers that read the target's states";
  demand(kind === INDEPENDENT, rule, { got: kind, remedy: "export a bundle with an independent drafter for the page" });
}

/** Refuse models with recurrent layers: a page keeps no states that a refused draft could go back to. */
function requireAttentionAlone({ target, drafter }: Manifest): void {
  const recurrent = [target, drafter].find((model) => model.state_bytes !== 0);
  demand(recurrent === undefined, "a page keeps no recurrent states", {
    got: `those of ${recurrent?.name ?? ""}`,
    remedy: "export a bundle whose models have attention alone for the page",
  });
}

/** Refuse names that could lead outside the bundle. */
export function checkInside(name: string): void {
  const parts = name.split("/");
  const outside = name.startsWith("/") || parts.includes("..") || /[\\:?#%]/.test(name);
  const plain = parts.every((part) => part !== "" && part !== ".") && isPrintable(name) && name.length <= LONGEST_NAME;
  const short = parts.every((part) => new TextEncoder().encode(part).length <= LONGEST_PART);
  if (outside || !plain || !short) throw new EdgedraftError("files: expected a relative path inside the bundle", { got: shown(name) });
}
