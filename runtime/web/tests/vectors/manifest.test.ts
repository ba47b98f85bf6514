/** Owns reading manifest.json: a manifest, key by key, and the words it is refused with, as in Python. */

import { expect, test } from "vitest";
import { parseManifest } from "../../src/runtime/manifest.js";
import { refusalOf } from "../runtime/fakes.js";
import { casesOf, readVectors, type Vectors } from "./reading.js";

const vectors = readVectors("manifest");

/** A copy with values changed at dotted keys; the value "missing" takes the key out. */
function changed(changes: Readonly<Record<string, unknown>>): Vectors {
  const copied = structuredClone(vectors.manifest);
  for (const [key, value] of Object.entries(changes)) {
    const path = key.split(".");
    const last = path.pop() as string;
    const holder = path.reduce((part, name) => part[name], copied);
    if (value === "missing") delete holder[last];
    else holder[last] = value;
  }
  return copied;
}

function valuesAt(manifest: Vectors, keys: object): object {
  return Object.fromEntries(Object.keys(keys).map((key) => [key, key.split(".").reduce((part, name) => part[name], manifest)]));
}

test("every key is read under its name", () => {
  const manifest = parseManifest(vectors.manifest);
  expect(valuesAt(manifest, vectors.keys)).toEqual(vectors.keys);
  expect(manifest.files).toEqual(vectors.files);
});

test("what may be missing", () => {
  const without = Object.keys(vectors.defaults).filter((key) => key !== "divergence");
  const manifest = parseManifest(changed(Object.fromEntries(without.map((key) => [key, "missing"]))));
  expect(valuesAt(manifest, vectors.defaults)).toEqual(vectors.defaults);
});

test.each(casesOf(vectors.faults))("a fault: %s", async (_name, { changes, message }) => {
  expect(await refusalOf(() => parseManifest(changed(changes)))).toBe(message);
});

test.each(casesOf(vectors.roots))("no object: %s", async (_name, { root, message }) => {
  expect(await refusalOf(() => parseManifest(root))).toBe(message);
});
