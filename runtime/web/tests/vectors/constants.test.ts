/** Owns reading constants.json: values that Python and TypeScript share. */

import { expect, test } from "vitest";
import { TEXT_FILES } from "../../src/runtime/bundle.js";
import { MANIFEST_NAME, SCHEMA_VERSION } from "../../src/runtime/manifest.js";
import { CONTEXT_LENGTH, PREFILL_ROWS, promptPieces } from "../../src/runtime/model.js";
import { LONGEST, SHORTEST } from "../../src/runtime/ngram.js";
import { WORTHWHILE_SPEED_UP } from "../../src/runtime/plan.js";
import { LONGEST_DRAFT, POLICIES } from "../../src/runtime/policies.js";
import { checkedSampling } from "../../src/runtime/sampling.js";
import { casesOf, readVectors, snake } from "./reading.js";

const vectors = readVectors("constants");

test("constants", () => {
  expect(vectors.constants).toEqual({
    context_length: CONTEXT_LENGTH,
    prefill_rows: PREFILL_ROWS,
    schema_version: SCHEMA_VERSION,
    manifest_name: MANIFEST_NAME,
    text_files: TEXT_FILES,
    shortest_ngram: SHORTEST,
    longest_ngram: LONGEST,
    longest_draft: LONGEST_DRAFT,
    worthwhile_speed_up: WORTHWHILE_SPEED_UP,
    policies: POLICIES,
  });
});

test("sampling settings left out", () => {
  const { logitBias, ...settings } = checkedSampling({});
  expect(snake({ ...settings, logitBias: Object.fromEntries(logitBias) })).toEqual(vectors.sampling_settings);
});

test.each(casesOf(vectors.prompts))("pieces of a prompt: %s", (_name, { tokens, pieces }) => {
  expect([...promptPieces(new Array<number>(tokens).fill(0))].map((piece) => piece.length)).toEqual(pieces);
});
