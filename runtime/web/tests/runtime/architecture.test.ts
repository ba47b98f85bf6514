/** Owns the laws of the module's shape: what it imports, and that the algorithm has the files and words of Python's. */

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

const CORE = new URL("../../../core/", import.meta.url);
const MIRRORED = [
  "acceptance", "decoding", "drafter", "forecast", "indexMap", "limits", "model", "ngram", "padding", "plan", "policies", "rounds",
  "sampler", "sampling", "sources", "statistics", "tokenDrafter", "verify",
];
/** Files of Python's that the page has no use for: the adaptive policy with what it measures, batches, the options and turns of an answer, LongRoPE. */
const PYTHON_ONLY = ["__init__", "adaptive", "batch", "conversation", "estimators", "options", "pacing", "pass_times", "switching"];
/** Files below the algorithm, as runtime/base is in Python. */
const BASE = ["errors", "random", "records"];
/** Exported names that Python's file lacks: what numpy or a dataclass does there, and what only the page needs. */
const OWN_WORDS: Readonly<Record<string, readonly string[]>> = {
  decoding: ["RoundOptions"],
  drafter: ["EMPTY_DRAFT"],
  forecast: ["readForecast"],
  model: ["FlatLogits", "requireContext"],
  plan: ["readPlan"],
  policies: ["LONGEST_DRAFT", "Policy"],
  sampling: ["Sampling", "checkedSampling"],
  sources: ["Drafters", "drafterOf"],
  statistics: ["total"],
  verify: ["greedyChoice", "largest"],
};

const snake = (name: string): string => (/^[A-Z]/.test(name) ? name : name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`));
const textOf = (name: string): string => readFileSync(new URL(`${name}.ts`, FOLDER), "utf8");

test("the algorithm has the files of Python's core", () => {
  const python = readdirSync(CORE).filter((name) => name.endsWith(".py")).map((name) => name.slice(0, -3));
  expect([...MIRRORED.map(snake), ...PYTHON_ONLY].sort()).toEqual(python.sort());
});

test.each(MIRRORED)("%s has the words of its counterpart, and imports no more than the algorithm", (name) => {
  const python = readFileSync(new URL(`${snake(name)}.py`, CORE), "utf8");
  const exported = [...textOf(name).matchAll(/^export (?:abstract )?(?:async )?(?:class|const|function\*?|interface|type) (\w+)/gm)].map((found) => found[1] as string);
  const words = exported.filter((word) => !new RegExp(`\\b${snake(word)}\\b`).test(python));
  expect(exported.length).toBeGreaterThan(0);
  expect(words.sort()).toEqual(OWN_WORDS[name] ?? []);
  const imported = importsOf(textOf(name)).map((from) => from.slice(2, -3));
  expect(imported.filter((from) => ![...MIRRORED, ...BASE].includes(from))).toEqual([]);
});
