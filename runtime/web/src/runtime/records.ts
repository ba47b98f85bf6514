/** Owns reading plain JSON data field by field, with the key path in every error. */

import { EdgedraftError, demand } from "./errors.js";

/** A JSON object that was checked to be one. */
export type Plain = Readonly<Record<string, unknown>>;

/** Reads and checks one value; `where` is its key path, for errors. */
export type Reader<T> = (value: unknown, where: string) => T;

/** Read an object. */
export function asObject(value: unknown, where: string): Plain {
  const right = typeof value === "object" && value !== null && !Array.isArray(value);
  demand(right, `${where}: expected an object`, { got: kindOf(value) });
  return value as Plain;
}

/** Read a string. */
export const asString: Reader<string> = (value, where) => scalar<string>(value, where, "string", "str");

/** Read a boolean. */
export const asBoolean: Reader<boolean> = (value, where) => scalar<boolean>(value, where, "boolean", "bool");

/** Read a finite number. */
export const asNumber: Reader<number> = (value, where) => {
  const number = scalar<number>(value, where, "number", "float");
  demand(Number.isFinite(number), `${where}: expected float`, { got: number });
  return number;
};

/** Read a whole number that a double holds exactly. */
export const asInteger: Reader<number> = (value, where) => {
  demand(Number.isSafeInteger(value), `${where}: expected int`, { got: shown(value) });
  return value as number;
};

/** Return a reader of lists whose items `item` reads. */
export function listOf<T>(item: Reader<T>): Reader<readonly T[]> {
  return (value, where) => {
    demand(Array.isArray(value), `${where}: expected a list`, { got: kindOf(value) });
    return value.map((each, index) => item(each, `${where}[${index}]`));
  };
}

/** Return a reader of objects whose values `item` reads. */
export function mapOf<T>(item: Reader<T>): Reader<Readonly<Record<string, T>>> {
  return (value, where) => {
    const data = asObject(value, where);
    return Object.fromEntries(Object.entries(data).map(([key, each]) => [key, item(each, `${where}.${key}`)]));
  };
}

/** Return a reader of null, or of what `reader` reads. */
export function orNull<T>(reader: Reader<T>): Reader<T | null> {
  return (value, where) => (value === null ? null : reader(value, where));
}

/** A field that may be missing, and its value then. */
export interface Optional<T> {
  readonly reader: Reader<T>;
  readonly missing: T;
}

/** Mark a field that may be missing. */
export function optional<T>(reader: Reader<T>, missing: T): Optional<T> {
  return { reader, missing };
}

type Fields<T> = { readonly [K in keyof T]-?: Reader<T[K]> | Optional<T[K]> };

/** Return a reader of records with exactly these fields; unknown and missing keys are refused. */
export function recordOf<T extends object>(fields: Fields<T>): Reader<T> {
  return (value, where) => {
    const data = asObject(value, where);
    const unknown = Object.keys(data).filter((key) => !Object.hasOwn(fields, key)).sort();
    demand(unknown.length === 0, `${where}: unknown key`, { got: unknown.join(", ") });
    return Object.fromEntries(Object.keys(fields).map((key) => [key, fieldOf(fields, data, key as keyof T & string, where)])) as T;
  };
}

function fieldOf<T extends object, K extends keyof T & string>(fields: Fields<T>, data: Plain, key: K, where: string): T[K] {
  const field: Reader<T[K]> | Optional<T[K]> = fields[key];
  const present = Object.hasOwn(data, key);
  if ("reader" in field) return present ? field.reader(data[key], `${where}: ${key}`) : field.missing;
  if (!present) throw new EdgedraftError(`${where}: missing key ${key}`);
  return field(data[key], `${where}: ${key}`);
}

function scalar<T>(value: unknown, where: string, kind: string, name: string): T {
  demand(typeof value === kind, `${where}: expected ${name}`, { got: shown(value) });
  return value as T;
}

/** Name the type of a value as Python does, so that both runtimes refuse a manifest in the same words. */
function kindOf(value: unknown): string {
  if (value === null) return "NoneType";
  if (Array.isArray(value)) return "list";
  if (typeof value === "number") return Number.isInteger(value) ? "int" : "float";
  return { string: "str", boolean: "bool", object: "dict" }[typeof value as string] ?? typeof value;
}

const SHOWN_CHARACTERS = 60;

/** Write a value as Python's repr does, shortened if it is long. */
export function shown(value: unknown): string {
  const letters = [...written(value)];
  return letters.length <= SHOWN_CHARACTERS ? letters.join("") : `${letters.slice(0, SHOWN_CHARACTERS).join("")}…`;
}

function written(value: unknown): string {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "string") return quoted(value);
  if (typeof value === "number") return String(value).replace("Infinity", "inf").replace("NaN", "nan");
  if (Array.isArray(value)) return `[${value.map(written).join(", ")}]`;
  if (typeof value === "object") return `{${Object.entries(value).map(([key, item]) => `${quoted(key)}: ${written(item)}`).join(", ")}}`;
  return String(value);
}

/** Write a float as Python's repr does: a whole one with a point. */
export function shownFloat(value: number): string {
  return Number.isInteger(value) ? value.toFixed(1) : shown(value);
}

/** Quote text as Python does: in single quotes, or in double quotes where that avoids a backslash. */
function quoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const inner = [...text].map((letter) => (letter === quote || letter === "\\" ? `\\${letter}` : plainOr(letter))).join("");
  return quote + inner + quote;
}

const ESCAPES: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** Return a letter, or its escape if it cannot be printed. */
function plainOr(letter: string): string {
  if (isPrintable(letter)) return letter;
  const code = letter.codePointAt(0) as number;
  const hex = (kind: string, digits: number) => `\\${kind}${code.toString(16).padStart(digits, "0")}`;
  return ESCAPES[letter] ?? (code < 0x100 ? hex("x", 2) : code < 0x10000 ? hex("u", 4) : hex("U", 8));
}

/** Return whether text has no control, format, private or unknown characters, and no spaces but the plain one. */
export function isPrintable(text: string): boolean {
  return /^(?:[^\p{C}\p{Z}]| )*$/u.test(text);
}
