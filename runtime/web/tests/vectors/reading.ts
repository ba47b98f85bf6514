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
export function byteCodec(): TextCodec {
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
  return new TextCodec({ tokenizer, config: null, template: null });
}
