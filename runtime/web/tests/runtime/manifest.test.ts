/** Owns the law of manifests: what Python writes is read, and every fault is told with its key. */

import { expect, test } from "vitest";
import { longestContext, parseManifest } from "../../src/runtime/manifest.js";
import { plainManifest, plainPlan } from "./manifests.js";
import { refusalOf } from "./fakes.js";

test("a manifest is read as it stands, with what may be missing filled in", () => {
  const manifest = parseManifest(plainManifest());
  expect(manifest.plan.target_pass_seconds).toEqual([0.05, 0.06]);
  expect(manifest.provider).toBe("cpu");
  expect(manifest.divergence).toBeNull();
  expect(manifest.calibration.ranked_by).toEqual([]);
  expect(manifest.target.operators).toEqual(["MatMulNBits"]);
});

test("a bundle written before operators were told opens and names none", () => {
  const { operators: _operators, ...target } = plainManifest().target as Record<string, unknown>;
  expect(parseManifest(plainManifest({ target })).target.operators).toEqual([]);
});

test("a model with two rotary tables has the context of its first", () => {
  const { target } = parseManifest(plainManifest());
  const long = { ...target, operators: ["GroupQueryAttention", "RotaryTables/4096"] };
  expect([4095, 131072].map((length) => longestContext(long, length))).toEqual([4095, 4096]);
  expect(longestContext(target, 131072)).toBe(131072);
});

test("a bundle of the schema before, which names no kind of drafter, has an independent one", () => {
  const { drafter_kind: kind, layer } = parseManifest(plainManifest({ schema_version: 4 }));
  expect([kind, layer]).toEqual(["independent", null]);
});

const LAYER = { tapped_layers: [2, 14, 25], feature_width: 24, fusing: "drafter/fusing.onnx", borrowed: ["table", "head"], copied_bytes: 0 };

test.each(["eagle3", "eagle", "mtp"])("a bundle whose drafter is a layer on the target (%s) is refused in one line", async (kind) => {
  const refusal = await refusalOf(() => parseManifest(plainManifest({ drafter_kind: kind, layer: LAYER })));
  expect(refusal).toBe(
    `drafter_kind: a page runs drafters that decode by themselves, not layers that read the target's states, got ${kind} - export a bundle with an independent drafter for the page`,
  );
});

test.each(["target", "drafter"] as const)("a bundle whose %s has recurrent states is refused in one line", async (role) => {
  const model = { ...(plainManifest()[role] as object), state_bytes: 4096 };
  const refusal = await refusalOf(() => parseManifest(plainManifest({ [role]: model })));
  const { name } = parseManifest(plainManifest())[role];
  expect(refusal).toBe(`a page keeps no recurrent states, got those of ${name} - export a bundle whose models have attention alone for the page`);
});

const FAULTS: [string, Record<string, unknown>, string][] = [
  ["another schema", { schema_version: 3, unknown: 1 }, "schema_version: this edgedraft reads 4 and 5, got 3 - export the bundle again or install a matching edgedraft"],
  ["a kind that is no name", { drafter_kind: 3 }, "manifest: drafter_kind: expected str, got 3"],
  ["an unknown key", { colour: "red" }, "manifest: unknown key, got colour"],
  ["a wrong type", { index_map: 3 }, "manifest: index_map: expected str, got 3"],
  ["a wrong item", { end_token_ids: [1, "x"] }, "manifest: end_token_ids[1]: expected int, got 'x'"],
  ["a boolean for a number", { context_length: true }, "manifest: context_length: expected int, got True"],
  ["a wide draft vocabulary", { plan: plainPlan({ draft_vocab_size: 9 }) }, "draft_vocab_size: expected 1..8, got 9 - export the bundle again"],
  ["an operator that is no name", { target: { ...plainManifest().target as object, operators: [1] } }, "manifest: target: operators[0]: expected str, got 1"],
  ["an unlisted file", { index_map: "other" }, "files: other is not listed - export the bundle again or copy it afresh"],
  ["a path that climbs", { files: { "../x": { bytes: 1, sha256: "00" } } }, "files: expected a relative path inside the bundle, got '../x'"],
  ["another host", { index_map: "//host/x" }, "files: expected a relative path inside the bundle, got '//host/x'"],
  ["no pass seconds", { plan: plainPlan({ target_pass_seconds: [] }) }, "plan: target_pass_seconds: expected 1..4096 times, got 0"],
  ["an interval turned round", { plan: plainPlan({ speed_up_low: 2 }) }, "plan: speed_up_low must be above 0 and at most speed_up_high, got (2.0, 1.5)"],
];

test.each(FAULTS)("%s is refused", async (_what, changes, message) => {
  expect(await refusalOf(() => parseManifest(plainManifest(changes)))).toBe(message);
});

test("a missing key and a list in place of an object are refused", async () => {
  const { plan: _plan, ...rest } = plainManifest();
  expect(await refusalOf(() => parseManifest(rest))).toBe("manifest: missing key plan");
  expect(await refusalOf(() => parseManifest([]))).toBe("manifest: expected an object, got list");
});
