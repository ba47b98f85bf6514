/** Owns reading plain JSON data field by field, with the key path in every error. */

import { EdgedraftError, demand } from "./errors.js";

/** A JSON object that was checked to be one. */
export type Plain = Readonly<Record<string, unknown>>;

/** Reads one value found at `where`. */
export type Reader<T> = (value: unknown, where: string) => T;

/** A plain object; anything else is refused. */
export function asObject(value: unknown, where: string): Plain {
  const right = typeof value === "object" && value !== null && !Array.isArray(value);
  demand(right, `${where}: expected an object`, { got: kindOf(value) });
  return value as Plain;
}

/** A string. */
export const asString: Reader<string> = (value, where) => scalar<string>(value, where, "string", "str");

/** A boolean. */
export const asBoolean: Reader<boolean> = (value, where) => scalar<boolean>(value, where, "boolean", "bool");

/** A finite number. */
export const asNumber: Reader<number> = (value, where) => {
  const found = scalar<number>(value, where, "number", "float");
  demand(Number.isFinite(found), `${where}: expected float`, { got: found });
  return found;
};

/** A whole number that survives a double. */
export const asInteger: Reader<number> = (value, where) => {
  demand(Number.isSafeInteger(value), `${where}: expected int`, { got: shown(value) });
  return value as number;
};

/** A list whose items `item` reads. */
export function listOf<T>(item: Reader<T>): Reader<readonly T[]> {
  return (value, where) => {
    demand(Array.isArray(value), `${where}: expected a list`, { got: kindOf(value) });
    return value.map((each, index) => item(each, `${where}[${index}]`));
  };
}

/** An object whose values `item` reads. */
export function mapOf<T>(item: Reader<T>): Reader<Readonly<Record<string, T>>> {
  return (value, where) => {
    const found = asObject(value, where);
    return Object.fromEntries(Object.entries(found).map(([key, each]) => [key, item(each, `${where}.${key}`)]));
  };
}

/** What `reader` reads, or null. */
export function orNull<T>(reader: Reader<T>): Reader<T | null> {
  return (value, where) => (value === null ? null : reader(value, where));
}

/** A field that may be missing, and what it then is. */
export interface Optional<T> {
  readonly reader: Reader<T>;
  readonly missing: T;
}

/** Marks a field that may be missing. */
export function optional<T>(reader: Reader<T>, missing: T): Optional<T> {
  return { reader, missing };
}

type Fields<T> = { readonly [K in keyof T]-?: Reader<T[K]> | Optional<T[K]> };

/** A record of exactly these fields; unknown and missing keys are refused. */
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
  const found = Object.hasOwn(data, key);
  if ("reader" in field) return found ? field.reader(data[key], `${where}: ${key}`) : field.missing;
  if (!found) throw new EdgedraftError(`${where}: missing key ${key}`);
  return field(data[key], `${where}: ${key}`);
}

function scalar<T>(value: unknown, where: string, kind: string, name: string): T {
  demand(typeof value === kind, `${where}: expected ${name}`, { got: shown(value) });
  return value as T;
}

/** The kind of a value in Python's words: both runtimes refuse a manifest with the same ones. */
function kindOf(value: unknown): string {
  if (value === null) return "NoneType";
  if (Array.isArray(value)) return "list";
  if (typeof value === "number") return Number.isInteger(value) ? "int" : "float";
  return { string: "str", boolean: "bool", object: "dict" }[typeof value as string] ?? typeof value;
}

/** A value as Python shows it. */
export function shown(value: unknown): string {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "string") return quoted(value);
  if (typeof value === "number") return String(value).replace("Infinity", "inf").replace("NaN", "nan");
  if (Array.isArray(value)) return `[${value.map(shown).join(", ")}]`;
  if (typeof value === "object") return `{${Object.entries(value).map(([key, item]) => `${quoted(key)}: ${shown(item)}`).join(", ")}}`;
  return String(value);
}

/** A float as Python shows it: a whole one has a point. */
export function shownFloat(value: number): string {
  return Number.isInteger(value) ? value.toFixed(1) : shown(value);
}

/** Text in single quotes, in double ones where only those spare a backslash. */
function quoted(text: string): string {
  const inner = JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"');
  if (text.includes("'") && !text.includes('"')) return `"${inner}"`;
  return `'${inner.replaceAll("'", "\\'")}'`;
}
