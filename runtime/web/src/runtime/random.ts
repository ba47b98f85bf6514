/** Owns random numbers that repeat from a seed; numpy's generator gives other numbers for the same seed. */

import { demand } from "./errors.js";

/** Returns uniform numbers in [0, 1), like `Math.random`. */
export type Random = () => number;

/** Create a generator from a whole-number `seed`, or without one from the system's own randomness. */
export function random(seed?: number): Random {
  const whole = seed === undefined || (Number.isSafeInteger(seed) && seed >= 0);
  demand(whole, "seed: expected a whole number, 0 or more", { got: seed });
  const words = seed === undefined ? crypto.getRandomValues(new Uint32Array(4)) : spreadSeed(seed);
  const next = smallFast(words[0] as number, words[1] as number, words[2] as number, words[3] as number);
  // The first numbers still show the seed: similar seeds give similar ones.
  for (let skipped = 0; skipped < 12; skipped += 1) next();
  return () => ((next() >>> 5) * 67108864 + (next() >>> 6)) / 9007199254740992; // 53 bits
}

/** Spread a seed of up to 53 bits over four words, by a finalizer like splitmix's. */
function spreadSeed(seed: number): Uint32Array {
  let state = (seed >>> 0) ^ Math.imul(Math.floor(seed / 2 ** 32) >>> 0, 0x9e3779b9);
  return Uint32Array.from({ length: 4 }, () => {
    state = (state + 0x9e3779b9) | 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
    return (mixed ^ (mixed >>> 16)) >>> 0;
  });
}

/** Create Chris Doty-Humphrey's small fast counting generator (sfc32), 32 bits a call. */
function smallFast(a: number, b: number, c: number, counter: number): () => number {
  return () => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return sum >>> 0;
  };
}
