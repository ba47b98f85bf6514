/** Owns the laws of answers: they end where they must, and streamed text is the whole text, piece by piece. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { limited } from "../../src/runtime/limits.js";
import type { Round } from "../../src/runtime/rounds.js";
import { TextStream, textPieces } from "../../src/runtime/streaming.js";
import { take, untimed } from "./fakes.js";

async function* rounds(...turns: Round[]): AsyncGenerator<Round> {
  yield* turns;
}

const round = (tokenIds: number[], accepted: number, drafted = accepted): Round => untimed(tokenIds, drafted, accepted);

/** Every token is one byte of UTF-8; a token of its own is special and has no text. */
const decode = (ids: readonly number[]): string => new TextDecoder().decode(Uint8Array.from(ids.filter((id) => id < 256)));

test("an answer is cut at its length and behind its end, and the counts with it", async () => {
  const limits = { maxNewTokens: 4, endTokenIds: [9] };
  expect(await take(limited(rounds(round([1], 0), round([2, 3, 4, 5], 3), round([6], 0)), limits), 9)).toEqual([round([1], 0), round([2, 3, 4], 3)]);
  expect(await take(limited(rounds(round([1, 9, 3], 2)), limits), 9)).toEqual([round([1, 9], 2)]);
});

test("an abort ends the answer after the round that was under way", async () => {
  const abort = new AbortController();
  abort.abort();
  expect(await take(limited(rounds(round([1], 0), round([2], 0)), { maxNewTokens: 9, endTokenIds: [] }, abort.signal), 9)).toEqual([round([1], 0)]);
});

/** Texts without the character that stands for half a one: at the end of an answer it is left out, as in Python. */
const WHOLE = fc.string({ unit: "grapheme" }).map((text) => text.replaceAll("\ufffd", "x"));

test("pieces join to the text of all tokens, none of them ends within a character, and no token is lost", async () => {
  await fc.assert(
    fc.asyncProperty(WHOLE, fc.integer({ min: 1, max: 5 }), async (text, size) => {
      const ids = [...new TextEncoder().encode(text)];
      const turns = Array.from({ length: Math.ceil(ids.length / size) }, (_, place) => round(ids.slice(place * size, (place + 1) * size), 0));
      const pieces = await take(textPieces(rounds(...turns), new TextStream(decode)), Infinity);
      expect(pieces.map((piece) => piece.text).join("")).toBe(decode(ids));
      expect(pieces.flatMap((piece) => piece.tokenIds)).toEqual(ids);
      pieces.forEach((piece) => expect(piece.text).not.toContain("\ufffd"));
    }),
  );
});

test("a piece is drafted when its last token was an accepted draft", async () => {
  const turns = [round([97], 0), round([98, 99, 100], 2, 3)];
  const pieces = await take(textPieces(rounds(...turns), new TextStream(decode)), 9);
  expect(pieces.map((piece) => [piece.text, piece.drafted])).toEqual([["a", false], ["b", true], ["c", true], ["d", false]]);
});

test("log-probabilities are cut and handed on with their tokens", async () => {
  const turns = [{ ...round([97], 0), logProbs: [-1] }, { ...round([300, 98, 99], 2), logProbs: [-2, -3, -4] }];
  const cut = await take(limited(rounds(...turns), { maxNewTokens: 3, endTokenIds: [] }), 9);
  expect(cut.map((turn) => turn.logProbs)).toEqual([[-1], [-2, -3]]);
  const pieces = await take(textPieces(rounds(...cut), new TextStream(decode)), 9);
  expect(pieces.map((piece) => [piece.tokenIds, piece.logProbs])).toEqual([[[97], [-1]], [[300, 98], [-2, -3]]]);
});

test("a stop string ends the text before it, and what might begin one is held back", async () => {
  const ids = [..."say STOP now"].map((letter) => letter.charCodeAt(0));
  const pieces = await take(textPieces(rounds(round(ids, 0)), new TextStream(decode, ["STOP"])), 99);
  expect(pieces.map((piece) => piece.text).join("")).toBe("say ");
  const held = new TextStream(decode, ["STOP"]);
  expect([..."STO"].map((letter) => held.push(letter.charCodeAt(0))).join("")).toBe("");
  expect(held.finish()).toBe("STO");
});

test("tokens without text come with the next piece", async () => {
  const pieces = await take(textPieces(rounds(round([300, 97, 301], 0)), new TextStream(decode)), 9);
  expect(pieces).toEqual([{ text: "a", drafted: false, tokenIds: [300, 97] }, { text: "", drafted: false, tokenIds: [301] }]);
});
