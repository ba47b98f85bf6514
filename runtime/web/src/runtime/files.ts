/** Owns downloading files: stored by hash, resumed where a connection broke, refused when a byte is wrong. */

import { EdgedraftError, demand, firstLine } from "./errors.js";
import { sha256 } from "./hashing.js";
import { PART_BYTES, Parts, hashOf } from "./parts.js";
import type { Storage } from "./storage.js";

/** One file to download, with the size and hash it must have. */
export interface WantedFile {
  readonly url: URL;
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** What a `FileLoader` works with: storage, the network and time. Tests bring their own. */
export interface LoaderParts {
  readonly storage: Storage;
  readonly fetch: (url: URL, init: RequestInit) => Promise<Response>;
  readonly sleep: (seconds: number, signal?: AbortSignal) => Promise<void>;
  readonly partBytes?: number;
}

/** Called with the number of a file's bytes that are here. */
type ProgressCallback = (bytes: number) => void;

const TRIES = 5;
const FIRST_PAUSE_SECONDS = 0.5;

/** Downloads files one after another. */
export class FileLoader {
  private keeping = true;
  private readonly used = new Set<string>();

  constructor(private readonly parts: LoaderParts) {}

  /** Return the whole file, checked against its hash; bytes that are in storage are not downloaded again. */
  async load(file: WantedFile, report: ProgressCallback = () => {}, signal?: AbortSignal): Promise<Uint8Array> {
    this.used.add(file.sha256);
    const download = new DownloadState(file, allocate(file), new Parts(this.parts.storage, file.sha256), report);
    await download.fromStorage();
    const resumed = download.place;
    await this.finish(download, signal);
    if (await download.isRight()) return download.data;
    await download.restart();
    if (resumed > 0) {
      await this.finish(download, signal); // the stored bytes may have been wrong: download all of it once
      if (await download.isRight()) return download.data;
      await download.restart();
    }
    throw new EdgedraftError(`${file.name}: SHA-256: expected ${file.sha256}`, {
      got: "another file",
      remedy: "the copy was removed; copy the bundle afresh or export it again",
    });
  }

  /** Download what is missing, and try again after broken connections for as long as bytes still come. */
  private async finish(download: DownloadState, signal?: AbortSignal): Promise<void> {
    // `failed` counts attempts in a row that brought nothing; after each the pause doubles.
    for (let failed = 0; download.place < download.file.bytes; failed += 1) {
      const before = download.place;
      const fault = await this.attempt(download, signal);
      if (download.place > before) failed = 0;
      if (download.place === download.file.bytes) return;
      demand(failed < TRIES, `${download.file.name}: the connection broke after ${download.place} of ${download.file.bytes} bytes`, {
        got: fault,
        remedy: "load again: what came so far is kept",
      });
      await this.parts.sleep(FIRST_PAUSE_SECONDS * 2 ** failed, signal);
    }
  }

  /** Make one request; return what went wrong with the connection. Refusals and aborts are thrown. */
  private async attempt(download: DownloadState, signal?: AbortSignal): Promise<string> {
    try {
      await this.receive(download, signal);
      return "an early end";
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      if (error instanceof EdgedraftError) throw error;
      return firstLine(error);
    } finally {
      await this.keep(download);
    }
  }

  private async receive(download: DownloadState, signal?: AbortSignal): Promise<void> {
    const { file } = download;
    // If-Range: the server sends the rest only of the file with this hash, and all of a file that has changed.
    const range = { Range: `bytes=${download.place}-`, "If-Range": `"${file.sha256}"` };
    const init = { headers: download.place > 0 ? range : {}, cache: "no-store", signal: signal ?? null } as const;
    const response = await this.parts.fetch(file.url, init);
    demand(response.ok && response.body !== null, `${file.name}: the server refused it`, { got: response.status, remedy: "start edgedraft phone again" });
    if (download.place > 0 && !continues(response, download.place)) await download.restart();
    const reader = response.body.getReader();
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      download.add(read.value);
      if (download.unkept >= (this.parts.partBytes ?? PART_BYTES)) await this.keep(download);
    }
  }

  /** Store the bytes that came since the last time; when storage is full, first remove files that are not in use. */
  private async keep(download: DownloadState): Promise<void> {
    if (!this.keeping || download.unkept === 0) return;
    try {
      await download.keep();
    } catch {
      await this.forgetOthers();
      await download.keep().catch(() => {
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

/** The state of one download: the file's bytes, how many have come, and how many of those are stored. */
class DownloadState {
  place = 0;
  private kept = 0;

  constructor(
    readonly file: WantedFile,
    readonly data: Uint8Array,
    private readonly parts: Parts,
    private readonly report: ProgressCallback,
  ) {}

  get unkept(): number {
    return this.place - this.kept;
  }

  async fromStorage(): Promise<void> {
    this.place = this.kept = await this.parts.fill(this.data, this.report);
  }

  add(chunk: Uint8Array): void {
    const { name, bytes } = this.file;
    const fits = this.place + chunk.length <= bytes;
    demand(fits, `${name}: expected ${bytes} bytes`, { got: "more", remedy: "copy the bundle afresh or export it again" });
    this.data.set(chunk, this.place);
    this.place += chunk.length;
    this.report(this.place);
  }

  async keep(): Promise<void> {
    await this.parts.put(this.kept, this.data.subarray(this.kept, this.place));
    this.kept = this.place;
  }

  /** Begin again, with nothing stored. */
  async restart(): Promise<void> {
    await this.parts.drop();
    this.place = this.kept = 0;
    this.report(0);
  }

  async isRight(): Promise<boolean> {
    return (await sha256(this.data)) === this.file.sha256;
  }
}

/** Return whether a response holds the bytes from `place` on, and not the whole file. */
function continues(response: Response, place: number): boolean {
  return response.status === 206 && (response.headers.get("Content-Range") ?? "").startsWith(`bytes ${place}-`);
}

function allocate(file: WantedFile): Uint8Array {
  try {
    return new Uint8Array(file.bytes);
  } catch (error) {
    const remedy = "close other pages, or export a smaller precision";
    throw new EdgedraftError(`${file.name}: not enough memory for ${file.bytes} bytes`, { got: firstLine(error), remedy });
  }
}

/** Wait; an abort ends the wait at once. */
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
