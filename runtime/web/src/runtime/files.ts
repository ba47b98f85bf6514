/** Owns getting files from the server: kept by hash, resumed where they broke off, refused when a byte is wrong. */

import { EdgedraftError, demand, firstLine } from "./errors.js";
import { sha256 } from "./hashing.js";
import { PART_BYTES, Parts, hashOf } from "./parts.js";
import type { Storage } from "./storage.js";

/** One file to get, and what it must be. */
export interface WantedFile {
  readonly url: URL;
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** What a `FileLoader` works with; `told` hears how many bytes of a file are there. */
export interface LoaderParts {
  readonly storage: Storage;
  readonly fetch: (url: URL, init: RequestInit) => Promise<Response>;
  readonly sleep: (seconds: number, signal?: AbortSignal) => Promise<void>;
  readonly partBytes?: number;
}

type Told = (bytes: number) => void;

const TRIES = 5;
const FIRST_PAUSE_SECONDS = 0.5;

/** Gets files one after another. */
export class FileLoader {
  private keeping = true;
  private readonly used = new Set<string>();

  constructor(private readonly parts: LoaderParts) {}

  /** The whole file, checked against its hash; from storage where it is there. */
  async load(file: WantedFile, told: Told = () => {}, signal?: AbortSignal): Promise<Uint8Array> {
    this.used.add(file.sha256);
    const filling = new Filling(file, room(file), new Parts(this.parts.storage, file.sha256), told);
    await filling.fromStorage();
    const resumed = filling.place;
    await this.finish(filling, signal);
    if (await filling.isRight()) return filling.data;
    await filling.restart();
    if (resumed > 0) {
      await this.finish(filling, signal); // what was kept may be at fault
      if (await filling.isRight()) return filling.data;
      await filling.restart();
    }
    throw new EdgedraftError(`${file.name}: SHA-256: expected ${file.sha256}`, {
      got: "another file",
      remedy: "the copy was removed; copy the bundle afresh or export it again",
    });
  }

  /** Download what is missing, going on after broken connections for as long as something comes. */
  private async finish(filling: Filling, signal?: AbortSignal): Promise<void> {
    for (let failed = 0; filling.place < filling.file.bytes; failed += 1) {
      const before = filling.place;
      const fault = await this.attempt(filling, signal);
      if (filling.place > before) failed = 0;
      if (filling.place === filling.file.bytes) return;
      demand(failed < TRIES, `${filling.file.name}: the connection broke after ${filling.place} of ${filling.file.bytes} bytes`, {
        got: fault,
        remedy: "load again: what came so far is kept",
      });
      await this.parts.sleep(FIRST_PAUSE_SECONDS * 2 ** failed, signal);
    }
  }

  /** One request; what went wrong with the connection, in words. Refusals and aborts are thrown. */
  private async attempt(filling: Filling, signal?: AbortSignal): Promise<string> {
    try {
      await this.receive(filling, signal);
      return "an early end";
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      if (error instanceof EdgedraftError) throw error;
      return firstLine(error);
    } finally {
      await this.keep(filling);
    }
  }

  private async receive(filling: Filling, signal?: AbortSignal): Promise<void> {
    const { file } = filling;
    const range = { Range: `bytes=${filling.place}-`, "If-Range": `"${file.sha256}"` };
    const init = { headers: filling.place > 0 ? range : {}, cache: "no-store", signal: signal ?? null } as const;
    const response = await this.parts.fetch(file.url, init);
    demand(response.ok && response.body !== null, `${file.name}: the server refused it`, { got: response.status, remedy: "start edgedraft phone again" });
    if (filling.place > 0 && !continues(response, filling.place)) await filling.restart();
    const reader = response.body.getReader();
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      filling.add(read.value);
      if (filling.unkept >= (this.parts.partBytes ?? PART_BYTES)) await this.keep(filling);
    }
  }

  /** Store what came since the last time; where room is short, files that are not used now make room. */
  private async keep(filling: Filling): Promise<void> {
    if (!this.keeping || filling.unkept === 0) return;
    try {
      await filling.keep();
    } catch {
      await this.forgetOthers();
      await filling.keep().catch(() => {
        this.keeping = false; // the page works without; the next visit downloads again
      });
    }
  }

  private async forgetOthers(): Promise<void> {
    for (const name of await this.parts.storage.names()) {
      if (!this.used.has(hashOf(name))) await this.parts.storage.remove(name);
    }
  }
}

/** One file on its way: its bytes, how many are there, and how many of those are kept. */
class Filling {
  place = 0;
  private kept = 0;

  constructor(
    readonly file: WantedFile,
    readonly data: Uint8Array,
    private readonly parts: Parts,
    private readonly told: Told,
  ) {}

  get unkept(): number {
    return this.place - this.kept;
  }

  async fromStorage(): Promise<void> {
    this.place = this.kept = await this.parts.fill(this.data, this.told);
  }

  add(chunk: Uint8Array): void {
    const { name, bytes } = this.file;
    const fits = this.place + chunk.length <= bytes;
    demand(fits, `${name}: expected ${bytes} bytes`, { got: "more", remedy: "copy the bundle afresh or export it again" });
    this.data.set(chunk, this.place);
    this.place += chunk.length;
    this.told(this.place);
  }

  async keep(): Promise<void> {
    await this.parts.put(this.kept, this.data.subarray(this.kept, this.place));
    this.kept = this.place;
  }

  /** Begin anew, with nothing kept. */
  async restart(): Promise<void> {
    await this.parts.drop();
    this.place = this.kept = 0;
    this.told(0);
  }

  async isRight(): Promise<boolean> {
    return (await sha256(this.data)) === this.file.sha256;
  }
}

/** Whether a response holds the bytes from `place` on, and not the whole file. */
function continues(response: Response, place: number): boolean {
  return response.status === 206 && (response.headers.get("Content-Range") ?? "").startsWith(`bytes ${place}-`);
}

function room(file: WantedFile): Uint8Array {
  try {
    return new Uint8Array(file.bytes);
  } catch (error) {
    const remedy = "close other pages, or export a smaller precision";
    throw new EdgedraftError(`${file.name}: not enough memory for ${file.bytes} bytes`, { got: firstLine(error), remedy });
  }
}

/** Wait; an abort ends it at once. */
export function sleep(seconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, seconds * 1000);
    if (signal?.aborted) stop();
    else signal?.addEventListener("abort", stop, { once: true });
  });
}
