/** Owns `Signature`: the inputs and outputs of a decoder graph, read from the graph itself, never from a configuration. */

import { EdgedraftError, demand } from "./errors.js";

/** An input or output as ONNX Runtime declares it: an axis is a number or a symbol. */
export interface GraphValue {
  readonly name: string;
  readonly type: string;
  readonly shape: readonly (number | string)[];
}

/** The types that keys and values may have. */
export type CacheType = "float32" | "float16";

/** One layer's keys or values as the graph declares them: input `name`, output `present`, axes and type. */
export interface CacheInput {
  readonly name: string;
  readonly present: string;
  readonly heads: number;
  readonly width: number;
  readonly type: CacheType;
}

/** The inputs and outputs of a decoder graph; `feeds` are its inputs beside the past. */
export interface Signature {
  readonly feeds: ReadonlySet<string>;
  readonly caches: readonly CacheInput[];
  readonly vocabSize: number;
}

export const IDS = "input_ids";
export const MASK = "attention_mask";
export const POSITIONS = "position_ids";
export const LOGITS = "logits";

const FEEDS = [MASK, IDS, POSITIONS];
const LAYER_FIRST = /^(?:past|present)(?:_key_values)?[._](?<layer>\d+)[._](?<kind>key|value)$/;
const KIND_FIRST = /^(?:past|present)(?:_key_values)?[._](?<kind>key|value)[._](?<layer>\d+)$/;
const EXPORT_AGAIN = "export the model again with edgedraft";

/** The operator that writes keys and values into the buffer that it reads them from. */
const IN_PLACE = "GroupQueryAttention";

/** Check a graph's inputs and outputs and return its signature; throws `EdgedraftError` naming one that is not understood. */
export function readSignature(file: string, inputs: readonly GraphValue[], outputs: readonly GraphValue[]): Signature {
  const pasts = inputs.filter((node) => cacheSlot(node.name) !== null);
  const feeds = inputs.filter((node) => cacheSlot(node.name) === null);
  feeds.forEach((node) => checkFeed(file, node));
  demand(feeds.some((node) => node.name === IDS), `${file}: no input named ${IDS}`);
  demand(pasts.length > 0, `${file}: no keys and values among the inputs`, { remedy: "export a decoder with past" });
  return {
    feeds: new Set(feeds.map((node) => node.name)),
    caches: pasts.map((past) => cacheInput(file, past, outputs)),
    vocabSize: logitsWidth(file, outputs),
  };
}

/** Return the layer and kind that an input or output stands for, such as `3.key`; null for neither keys nor values. */
export function cacheSlot(name: string): string | null {
  const match = LAYER_FIRST.exec(name) ?? KIND_FIRST.exec(name);
  return match?.groups === undefined ? null : `${Number(match.groups.layer)}.${match.groups.kind}`;
}

/** Refuse graphs that append to their past: this runtime binds past and present to one buffer. */
export function requireInPlace(file: string, graph: Uint8Array): void {
  const remedy = "export the model with edgedraft's own route (not Optimum), whose graphs write in place";
  demand(holds(graph, IN_PLACE), `${file}: keys and values must be written in place (${IN_PLACE})`, { remedy });
}

function checkFeed(file: string, node: GraphValue): void {
  const known = `${FEEDS.join(", ")} and a key and a value for each layer`;
  const rule = `${file}: input ${node.name}:`;
  demand(FEEDS.includes(node.name), `${rule} not known; a decoder takes ${known}`, { remedy: EXPORT_AGAIN });
  const right = node.type === "int64" && node.shape.length === 2 && typeof node.shape[1] !== "number";
  demand(right, `${rule} expected int64 of two axes, the tokens symbolic`, { got: `${node.type} [${node.shape.join(", ")}]`, remedy: EXPORT_AGAIN });
}

function cacheInput(file: string, past: GraphValue, outputs: readonly GraphValue[]): CacheInput {
  const rule = `${file}: input ${past.name}:`;
  const present = outputs.find((node) => cacheSlot(node.name) === cacheSlot(past.name));
  if (present === undefined) throw new EdgedraftError(`${rule} no output holds what it becomes`, { remedy: EXPORT_AGAIN });
  const [, heads, tokens, width] = past.shape;
  const fixed = past.shape.length === 4 && typeof heads === "number" && typeof width === "number" && typeof tokens !== "number";
  demand(fixed, `${rule} expected (batch, heads, tokens, head size), only heads and head size fixed`, { got: past.shape.join(", "), remedy: EXPORT_AGAIN });
  demand(past.type === "float32" || past.type === "float16", `${rule} expected float32 or float16`, { got: past.type, remedy: EXPORT_AGAIN });
  return { name: past.name, present: present.name, heads, width, type: past.type };
}

function logitsWidth(file: string, outputs: readonly GraphValue[]): number {
  const logits = outputs.find((node) => node.name === LOGITS);
  if (logits === undefined) throw new EdgedraftError(`${file}: no output named ${LOGITS}`);
  demand(logits.type === "float32", `${file}: ${LOGITS}: expected float32`, { got: logits.type, remedy: EXPORT_AGAIN });
  const width = logits.shape.at(-1);
  demand(typeof width === "number", `${file}: ${LOGITS}: expected a fixed width`, { got: width });
  return width;
}

/** Return whether `bytes` contain the ASCII `text` anywhere: searching needs no protobuf reader. */
function holds(bytes: Uint8Array, text: string): boolean {
  const pattern = new TextEncoder().encode(text);
  for (let start = bytes.indexOf(pattern[0] as number); start >= 0; start = bytes.indexOf(pattern[0] as number, start + 1)) {
    if (pattern.every((byte, place) => bytes[start + place] === byte)) return true;
  }
  return false;
}
