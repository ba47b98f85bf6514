import { describe, expect, it } from "vitest";
import { binaryBytes, bytes, duration, passTime, percent, rate, secondsLeft, share } from "../../../src/page/words/format.js";

describe("numbers are written with the digits that matter", () => {
  it.each([
    [0, "0 B"],
    [999, "999 B"],
    [1_000, "1.00 kB"],
    [999_600, "1.00 MB"],
    [12_345_678, "12.3 MB"],
    [1_360_000_000, "1.36 GB"],
    [123_400_000_000, "123 GB"],
  ])("bytes %d as %s", (count, words) => expect(bytes(count)).toBe(words));

  it.each([
    [128 * 2 ** 20, "128 MiB"],
    [2 ** 30, "1 GiB"],
    [1.5 * 2 ** 30, "1.5 GiB"],
  ])("limits %d as %s", (count, words) => expect(binaryBytes(count)).toBe(words));

  it.each([
    [0, "0 s"],
    [59.6, "1 min 0 s"],
    [125, "2 min 5 s"],
    [3_840, "1 h 4 min"],
  ])("%d seconds as %s", (seconds, words) => expect(duration(seconds)).toBe(words));

  it.each([
    [0.00084, "0.84 ms"],
    [0.0123, "12.3 ms"],
    [0.9996, "1.00 s"],
  ])("a pass of %d as %s", (seconds, words) => expect(passTime(seconds)).toBe(words));

  it.each([
    [null, "–"],
    [0.432, "0.43"],
    [12.34, "12.3"],
    [123.4, "123"],
  ])("a rate of %d as %s", (value, words) => expect(rate(value)).toBe(words));

  it("shares have one decimal", () => expect(share(0.7699)).toBe("77.0 %"));
});

describe("percent", () => {
  it("is 100 only when all is done", () => expect([percent(999, 1000), percent(1000, 1000)]).toEqual([99, 100]));
  it("is 0 where the total is not known", () => expect(percent(5, 0)).toBe(0));
});

describe("secondsLeft", () => {
  it("goes on at the pace so far", () => expect(secondsLeft(2, 8, 10)).toBe(30));
  it("is unknown before anything is done", () => expect(secondsLeft(0, 8, 10)).toBeNull());
});
