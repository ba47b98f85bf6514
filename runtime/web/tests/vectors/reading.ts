/** Owns reading the vectors, which Python's tests read too, and what several families' tests need. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { TextCodec } from "../../src/runtime/text.js";

const FOLDER = process.env.EDGEDRAFT_VECTORS || new URL("../../../../tests/vectors", import.meta.url).pathname;
const NUMBERS: Readonly<Record<string, number>> = { inf: Infinity, "-inf": -Infinity, nan: NaN };

/** A value of the vectors; its shape is what the test makes of it. */
export type Vectors = any;

/** One family's file; the texts "inf", "-inf" and "nan", which JSON has no numbers for, arrive as numbers. */
export function readVectors(family: string): Vectors {
  const text = readFileSync(join(FOLDER, `${family}.json`), "utf8");
  return JSON.parse(text, (_key, value: unknown) => (typeof value === "string" && value in NUMBERS ? NUMBERS[value] : value));
}

/** Items of a section with their names, for `test.each`. */
export function casesOf(section: readonly Vectors[]): [string, Vectors][] {
  if (section.length === 0) throw new Error("a section without items tests nothing");
  return section.map((each, place) => [each.name ?? String(place), each]);
}

/** Numbers of a script, then zeros; `left` says how many were not asked for. */
export function scripted(...numbers: number[]): { (): number; left(): number } {
  return Object.assign(() => numbers.shift() ?? 0, { left: () => numbers.length });
}

/** Whether two numbers are equal but for a share of `expected`. */
export function isClose(found: number, expected: number, share: number): boolean {
  return found === expected || Math.abs(found - expected) <= share * Math.abs(expected);
}

/** The places where two lists are not close. */
export function apart(found: ArrayLike<number>, expected: readonly number[], share: number): number[] {
  const length = Math.max(found.length, expected.length);
  return Array.from({ length }, (_, place) => place).filter((place) => !isClose(found[place] ?? NaN, expected[place] ?? NaN, share));
}

/** An object with its keys in Python's spelling. */
export function snake(record: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), value]));
}

/** An object with its keys in TypeScript's spelling. */
export function camel(record: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()), value]));
}

/** Letters as tokens. */
export const ids = (text: string): number[] => [...text].map((letter) => letter.charCodeAt(0));
export const letters = (tokenIds: readonly number[]): string => String.fromCharCode(...tokenIds);

const TOKENS: Readonly<Record<string, number>> = { EN: 256, END: 257, "<|end|>": 258 };

/** Token ids of a list of bytes, as numbers or as 0x.., and of tokens by their text. */
export function tokenIds(tokens: readonly (number | string)[]): number[] {
  return tokens.map((token) => TOKENS[token] ?? Number(token));
}

/** A real codec: a byte is the token of its own number, then come E+N, EN+D and a special token. */
export function byteCodec(template: string | null = null, config: object | null = null): TextCodec {
  const bytes = Array.from({ length: 256 }, (_, byte) => byte);
  const visible = bytes.filter((byte) => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173));
  const hidden = bytes.filter((byte) => !visible.includes(byte));
  const letterOf = (byte: number): string => String.fromCharCode(visible.includes(byte) ? byte : 256 + hidden.indexOf(byte));
  const special = { id: 258, content: "<|end|>", single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
  const { "<|end|>": _special, ...merged } = TOKENS;
  const tokenizer = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [special],
    normalizer: null,
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
    post_processor: null,
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: { ...Object.fromEntries(bytes.map((byte) => [letterOf(byte), byte])), ...merged },
      merges: [["E", "N"], ["EN", "D"]],
    },
  };
  return new TextCodec({ tokenizer, config, template });
}

/** A real codec with a token for every byte behind <s> and </s>: bytes of what is no token of its own become such tokens. */
export function fallbackCodec(postProcessor: object | null = null, config: object | null = null): TextCodec {
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
  const vocab = Object.fromEntries(["<s>", "</s>", "<unk>", ...bytes, "\u2581", "a", "b"].map((token, id) => [token, id]));
  const special = (content: string, id: number): object => ({ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true });
  const tokenizer = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: ["<s>", "</s>"].map(special),
    normalizer: { type: "Replace", pattern: { String: " " }, content: "\u2581" },
    pre_tokenizer: null,
    post_processor: postProcessor,
    decoder: { type: "Sequence", decoders: [{ type: "Replace", pattern: { String: "\u2581" }, content: " " }, { type: "ByteFallback" }, { type: "Fuse" }] },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: "<unk>",
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: true,
      byte_fallback: true,
      ignore_merges: false,
      vocab,
      merges: [],
    },
  };
  return new TextCodec({ tokenizer, config, template: null });
}

/** Token ids of a list of tokens of `fallbackCodec` by their text; numbers and 0x.. are bytes. */
export function fallbackIds(tokens: readonly (number | string)[]): number[] {
  const names: Readonly<Record<string, number>> = { "<s>": 0, "</s>": 1, " ": 259, a: 260, b: 261 };
  return tokens.map((token) => names[token] ?? 3 + Number(token));
}
