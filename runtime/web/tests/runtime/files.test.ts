/** Owns the laws of downloads: what comes out has the right hash, whatever broke on the way. */

import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { FileLoader, type WantedFile } from "../../src/runtime/files.js";
import { MemoryStorage } from "../../src/runtime/storage.js";
import { refusalOf } from "./fakes.js";

const BYTES = Uint8Array.from({ length: 1000 }, (_, place) => (place * 7) % 251);
const SHA = createHash("sha256").update(BYTES).digest("hex");
const FILE: WantedFile = { name: "weights", url: new URL("http://here/weights"), bytes: BYTES.length, sha256: SHA };

/** What the server does with one request: how many bytes it gives before the connection breaks. */
interface Answer {
  readonly give?: number;
  readonly status?: number;
  readonly content?: Uint8Array;
  readonly whole?: boolean;
}

/** A server that answers as scripted and well after that; `ranges` keeps what it was asked. */
class FakeServer {
  readonly ranges: (string | null)[] = [];
  readonly matches: (string | null)[] = [];

  constructor(private readonly answers: readonly Answer[] = []) {}

  readonly fetch = async (_url: URL, init: RequestInit): Promise<Response> => {
    const headers = new Headers(init.headers);
    const answer = this.answers[this.ranges.length] ?? {};
    this.ranges.push(headers.get("Range"));
    this.matches.push(headers.get("If-Range"));
    init.signal?.throwIfAborted();
    if (answer.status !== undefined) return new Response(null, { status: answer.status });
    const start = answer.whole ? 0 : Number(/bytes=(\d+)-/.exec(headers.get("Range") ?? "")?.[1] ?? 0);
    const status = start > 0 ? 206 : 200;
    const range = { "Content-Range": `bytes ${start}-${BYTES.length - 1}/${BYTES.length}` };
    return new Response(stream((answer.content ?? BYTES).subarray(start), answer.give), { status, headers: status === 206 ? range : {} });
  };
}

function stream(bytes: Uint8Array, give = Infinity): ReadableStream<Uint8Array> {
  let place = 0;
  return new ReadableStream({
    pull(controller) {
      if (place >= give) return controller.error(new TypeError("network error"));
      if (place >= bytes.length) return controller.close();
      const end = Math.min(place + 100, give, bytes.length);
      controller.enqueue(bytes.slice(place, end));
      place = end;
    },
  });
}

function loader(server: FakeServer, storage = new MemoryStorage(), pauses: number[] = []): FileLoader {
  const sleep = async (seconds: number): Promise<void> => void pauses.push(seconds);
  return new FileLoader({ storage, fetch: server.fetch, sleep, partBytes: 300 });
}

async function keptBytes(storage: MemoryStorage): Promise<number> {
  const parts = await Promise.all((await storage.names()).map((name) => storage.get(name)));
  return parts.reduce((sum, part) => sum + (part?.length ?? 0), 0);
}

test("a file comes whole, tells its progress, and is not asked for again", async () => {
  const [server, storage, told] = [new FakeServer(), new MemoryStorage(), [] as number[]];
  expect(await loader(server, storage).load(FILE, (bytes) => told.push(bytes))).toEqual(BYTES);
  expect(told.at(-1)).toBe(1000);
  expect(told).toEqual([...told].sort((one, other) => one - other));
  expect(await loader(server, storage).load(FILE)).toEqual(BYTES);
  expect(server.ranges).toEqual([null]);
});

describe("a broken connection", () => {
  test("is taken up where it broke, only for the same file, after growing pauses", async () => {
    const [server, pauses] = [new FakeServer([{ give: 450 }, { give: 0 }, { give: 200 }]), [] as number[]];
    expect(await loader(server, undefined, pauses).load(FILE)).toEqual(BYTES);
    expect(server.ranges).toEqual([null, "bytes=450-", "bytes=450-", "bytes=650-"]);
    expect(server.matches.slice(1)).toEqual(Array(3).fill(`"${SHA}"`));
    expect(pauses).toEqual([0.5, 1, 0.5]);
  });

  test("that stays broken is told, and a later visit goes on from what was kept", async () => {
    const storage = new MemoryStorage();
    const dead = new FakeServer([{ give: 450 }, ...Array<Answer>(9).fill({ give: 0 })]);
    const message = "weights: the connection broke after 450 of 1000 bytes, got network error - load again: what came so far is kept";
    expect(await refusalOf(() => loader(dead, storage).load(FILE))).toBe(message);
    expect(dead.ranges.length).toBe(6);
    const server = new FakeServer();
    expect(await loader(server, storage).load(FILE)).toEqual(BYTES);
    expect(server.ranges).toEqual(["bytes=450-"]);
  });

  test("answered by the whole file begins anew", async () => {
    const server = new FakeServer([{ give: 450 }, { whole: true }]);
    expect(await loader(server).load(FILE)).toEqual(BYTES);
  });

  test("on abort ends at once with the abort's reason, and keeps what came", async () => {
    const [storage, abort] = [new MemoryStorage(), new AbortController()];
    const told = (bytes: number): void => {
      if (bytes >= 500) abort.abort(new Error("stopped"));
    };
    const server = new FakeServer([{ give: 500 }]);
    expect(await refusalOf(() => loader(server, storage).load(FILE, told, abort.signal))).toBe("stopped");
    expect(await keptBytes(storage)).toBe(500);
  });
});

describe("a wrong byte", () => {
  const flipped = BYTES.with(123, 255);
  const refused = `weights: SHA-256: expected ${SHA}, got another file - the copy was removed; copy the bundle afresh or export it again`;

  test("from the server is refused, and the bad copy removed", async () => {
    const storage = new MemoryStorage();
    expect(await refusalOf(() => loader(new FakeServer([{ content: flipped }]), storage).load(FILE))).toBe(refused);
    expect(await storage.names()).toEqual([]);
  });

  test("in what was kept is found, and the file downloaded again", async () => {
    const storage = new MemoryStorage();
    await loader(new FakeServer(), storage).load(FILE);
    const [name] = await storage.names();
    const part = (await storage.get(name as string)) as Uint8Array;
    await storage.put(name as string, part.with(5, part[5]! ^ 1));
    const server = new FakeServer();
    expect(await loader(server, storage).load(FILE)).toEqual(BYTES);
    expect(server.ranges).toEqual([null]);
  });
});

test("more bytes than promised and a refusing server are told, not retried", async () => {
  const long = new FakeServer([{ content: new Uint8Array(1100) }]);
  expect(await refusalOf(() => loader(long).load(FILE))).toBe("weights: expected 1000 bytes, got more - copy the bundle afresh or export it again");
  const closed = new FakeServer([{ status: 403 }]);
  expect(await refusalOf(() => loader(closed).load(FILE))).toBe("weights: the server refused it, got 403 - start edgedraft phone again");
  expect([long.ranges.length, closed.ranges.length]).toEqual([1, 1]);
});

/** Storage with room for `most` bytes. */
class SmallStorage extends MemoryStorage {
  constructor(private readonly most: number) {
    super();
  }

  override async put(name: string, bytes: Uint8Array): Promise<void> {
    if ((await keptBytes(this)) + bytes.length > this.most) throw new Error("QuotaExceededError");
    await super.put(name, bytes);
  }
}

test("where room is short, files that are not used now make room", async () => {
  const storage = new SmallStorage(1200);
  await storage.put("0000-0", new Uint8Array(800));
  expect(await loader(new FakeServer(), storage).load(FILE)).toEqual(BYTES);
  expect(await storage.get("0000-0")).toBeNull();
  expect(await keptBytes(storage)).toBe(1000);
});

test("without room the file comes all the same", async () => {
  expect(await loader(new FakeServer(), new SmallStorage(100)).load(FILE)).toEqual(BYTES);
});
