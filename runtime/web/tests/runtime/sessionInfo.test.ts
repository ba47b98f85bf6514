/** Owns the laws of sessions: what the server writes is read, and its faults are told in one line. */

import { afterEach, expect, test, vi } from "vitest";
import { isSoftware } from "../../src/runtime/capabilities.js";
import { deviceName } from "../../src/runtime/device.js";
import { isoDate } from "../../src/runtime/dates.js";
import { postResult } from "../../src/runtime/results.js";
import { parseSession, readSession } from "../../src/runtime/sessionInfo.js";
import { refusalOf } from "./fakes.js";

const CASE = { file: "probe/a.onnx", bytes: 1, sha256: "00", precision: "int4", width: 64, layers: 9, weight_bytes: 9, half: false };
const SESSION = { bundle: "bundle/", full_drafter: null, probe: { cases: [CASE], rows: [1, 2], rounds: 7 }, prompts: ["one"], post_results: true };
const BASE = new URL("http://127.0.0.1:1/token/");
const REMEDY = " - start edgedraft phone again and open the address that it prints";

afterEach(() => vi.unstubAllGlobals());

function answering(answer: () => Response): string[] {
  const asked: string[] = [];
  vi.stubGlobal("fetch", async (url: URL) => {
    asked.push(url.href);
    return answer();
  });
  return asked;
}

test("a session is read below the server's base", async () => {
  const asked = answering(() => Response.json(SESSION));
  expect(await readSession(BASE)).toEqual(SESSION);
  expect(asked).toEqual(["http://127.0.0.1:1/token/session.json"]);
});

test("faults of the session and the server are told", async () => {
  expect(await refusalOf(() => parseSession({ ...SESSION, probe: { ...SESSION.probe, rows: ["1"] } }))).toBe("session: probe: rows[0]: expected int, got '1'");
  answering(() => new Response(null, { status: 403 }));
  expect(await refusalOf(() => readSession(BASE))).toBe(`session.json: the server refused it, got 403${REMEDY}`);
  answering(() => new Response("<html>"));
  expect(await refusalOf(() => readSession(BASE))).toMatch(/^session.json: not JSON, got /);
  answering(() => {
    throw new TypeError("Failed to fetch");
  });
  expect(await refusalOf(() => readSession(BASE))).toBe(`session.json: the server cannot be reached, got Failed to fetch${REMEDY}`);
});

test("results are posted, and why they were not taken is told", async () => {
  const asked = answering(() => new Response(null, { status: 204 }));
  await postResult(BASE, "bench", {} as never);
  expect(asked).toEqual(["http://127.0.0.1:1/token/results/bench"]);
  answering(() => new Response("steps: missing\nmore", { status: 400 }));
  const message = "the server did not take the results, got steps: missing - check that edgedraft phone still runs, then send again";
  expect(await refusalOf(() => postResult(BASE, "probe", {} as never))).toBe(message);
});

test("an adapter that computes on the processor is told by its flag or its name", () => {
  expect(isSoftware({ vendor: "google", architecture: "swiftshader", isFallbackAdapter: false })).toBe(true);
  expect(isSoftware({ description: "llvmpipe (LLVM 15.0.6, 256 bits)" })).toBe(true);
  expect(isSoftware({ vendor: "someone", isFallbackAdapter: true })).toBe(true);
  expect(isSoftware({ vendor: "arm", architecture: "valhall", isFallbackAdapter: false })).toBe(false);
  expect(isSoftware(undefined)).toBe(false);
});

test("devices have names for people, days the form of ISO", () => {
  expect(deviceName("Mozilla/5.0 (Linux; Android 15; Pixel 9 Build/AP3A) Chrome/130")).toBe("Pixel 9");
  expect(deviceName("Mozilla/5.0 (Linux; Android 10; K) Chrome/130")).toBe("Android device");
  expect(deviceName("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X)")).toBe("iPhone");
  expect(deviceName("curl")).toBe("unknown device");
  expect(isoDate(new Date(2026, 0, 5))).toBe("2026-01-05");
});
