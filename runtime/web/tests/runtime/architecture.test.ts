/** Owns the laws of the module's shape: one file knows onnxruntime-web, and none of it knows the page. */

import { readFileSync, readdirSync } from "node:fs";
import { expect, test } from "vitest";

const FOLDER = new URL("../../src/runtime/", import.meta.url);
const sources = readdirSync(FOLDER).map((name) => [name, readFileSync(new URL(name, FOLDER), "utf8")] as const);
const importsOf = (text: string): string[] => [...text.matchAll(/from "([^"]+)"/g)].map((found) => found[1] as string);

test("only session.ts imports onnxruntime-web, and only the bundle with the native WebGPU provider", () => {
  const found = sources.flatMap(([name, text]) => importsOf(text).filter((from) => from.startsWith("onnxruntime")).map((from) => [name, from]));
  expect(new Set(found.map(String))).toEqual(new Set(["session.ts,onnxruntime-web/webgpu"]));
});

test("the runtime imports nothing of the page, and from elsewhere only what is listed", () => {
  const outside = new Set(sources.flatMap(([, text]) => importsOf(text).filter((from) => !/^\.\/\w+\.js$/.test(from))));
  expect(outside).toEqual(new Set(["onnxruntime-web/webgpu", "@huggingface/jinja", "@huggingface/tokenizers", "hash-wasm"]));
});

test("every file says first what it owns, and stays small", () => {
  for (const [name, text] of sources) {
    expect(text.slice(0, 80), name).toMatch(/^\/\*\*(?:\n \*)? Owns /);
    expect(text.split("\n").length, name).toBeLessThan(350);
  }
});
