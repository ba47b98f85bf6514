/** Owns reading acceptance.json: greedy choices, and drafts that are kept or replaced, as in Python. */

import { expect, test } from "vitest";
import { draw, keeps, residual, verifyDraws, type Probabilities } from "../../src/runtime/sampling.js";
import { acceptedPrefix, greedyChoice, logProbability } from "../../src/runtime/verify.js";
import { refusalOf } from "../runtime/fakes.js";
import { apart, casesOf, ids, readVectors, scripted } from "./reading.js";

const HAIR = 2 ** -30;
/** Python's exponentials of float32 logits are float32 themselves. */
const FLOAT32 = 1e-6;

const vectors = readVectors("acceptance");
const shares = (name: string): Probabilities =>
  Float64Array.from(vectors.distributions.find((each: { name: string }) => each.name === name).shares);

test.each(casesOf(vectors.rows))("a row of logits: %s", (_name, { logits, choice, log_probabilities }) => {
  const row = Float32Array.from(logits);
  expect(greedyChoice(row)).toBe(choice);
  expect(apart(Array.from(row, (_, id) => logProbability(row, id)), log_probabilities, FLOAT32)).toEqual([]);
});

test.each(casesOf(vectors.refused_rows))("a row without a best: %s", async (_name, { logits, by, message }) => {
  expect(await refusalOf(() => greedyChoice(Float32Array.from(logits), by))).toBe(message);
});

test.each(casesOf(vectors.prefixes))("an accepted prefix: %s", (_name, { draft, target, accepted }) => {
  expect(acceptedPrefix(ids(draft), ids(target))).toBe(accepted);
});

test.each(casesOf(vectors.distributions))("draws change at the edges: %s", (name, { edges }) => {
  const distribution = shares(name);
  const tokens = [...distribution.keys()].filter((id) => distribution[id] !== 0);
  expect(edges.length).toBe(tokens.length - 1);
  tokens.forEach((id, place) => {
    expect(draw(distribution, scripted([0, ...edges][place]))).toBe(id);
    expect(draw(distribution, scripted([...edges, 1][place] - HAIR))).toBe(id);
  });
});

test.each(casesOf(vectors.pairs))("a draft is kept by its share and replaced from the rest: %s", (_name, { by_target, by_drafter, keep, residual: rest }) => {
  const [target, drafter] = [shares(by_target), shares(by_drafter)];
  expect([...residual(target, drafter)]).toEqual(rest);
  const found = Array.from(target, (_, id) => keptBelow(id, target, drafter));
  expect(found.length).toBe(keep.length);
  found.forEach((edge, id) => expect(Math.abs(edge - keep[id])).toBeLessThan(HAIR));
});

/** The number below which a uniform keeps the draft, by halving 0..1. */
function keptBelow(id: number, target: Probabilities, drafter: Probabilities): number {
  let [low, high] = [0, 1];
  while (high - low > HAIR / 4) {
    const middle = (low + high) / 2;
    if (keeps(id, target, drafter, scripted(middle))) low = middle;
    else high = middle;
  }
  return low;
}

test.each(casesOf(vectors.rounds))("a round: %s", (_name, { draft, by_drafter, by_target, uniforms, committed, raised }) => {
  const run = (numbers: number[]): number[] => {
    const script = scripted(...numbers);
    const drafter = by_drafter.map((name: string | null) => (name === null ? null : shares(name)));
    const tokens = verifyDraws(draft, drafter, (position) => shares(by_target[position]), script);
    if (tokens.length > draft.length) expect(script.left()).toBe(0);
    return tokens;
  };
  const below = uniforms.map((uniform: number) => uniform - HAIR);
  expect(run(below)).toEqual(committed);
  expect(below.map((_: number, place: number) => run(below.with(place, uniforms[place] + HAIR)))).toEqual(raised);
});
