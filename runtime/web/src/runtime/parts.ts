/** Owns storing one file in pieces, so that what has come of it survives a broken connection. */

import { openStorage, type Storage } from "./storage.js";

/** A piece is stored when this many bytes have come. */
export const PART_BYTES = 8 * 2 ** 20;

/** The pieces of one file, each named by the file's hash and where it begins. */
export class Parts {
  constructor(
    private readonly storage: Storage,
    private readonly sha256: string,
  ) {}

  /** Fill `data` from its beginning with stored pieces; return how many bytes. Pieces that do not fit are dropped. */
  async fill(data: Uint8Array, report: (place: number) => void): Promise<number> {
    let place = 0;
    for (const start of await this.starts()) {
      const part = start === place ? await this.storage.get(this.name(start)) : null;
      if (part === null || start + part.length > data.length) {
        await this.storage.remove(this.name(start));
        continue;
      }
      data.set(part, start);
      place += part.length;
      report(place);
    }
    return place;
  }

  /** Store the piece that begins at `start`. */
  put(start: number, bytes: Uint8Array): Promise<void> {
    return this.storage.put(this.name(start), bytes);
  }

  /** Drop all pieces of this file. */
  async drop(): Promise<void> {
    for (const start of await this.starts()) await this.storage.remove(this.name(start));
  }

  private async starts(): Promise<number[]> {
    const own = (await this.storage.names()).filter((name) => hashOf(name) === this.sha256);
    return own.map((name) => Number(name.split("-")[1])).sort((one, other) => one - other);
  }

  private name(start: number): string {
    return `${this.sha256}-${start}`;
  }
}

/** Count the bytes of each file, by its hash, that are stored on this device. */
export async function keptBytes(storage?: Storage): Promise<ReadonlyMap<string, number>> {
  const from = storage ?? (await openStorage());
  const kept = new Map<string, number>();
  for (const name of await from.names()) {
    kept.set(hashOf(name), (kept.get(hashOf(name)) ?? 0) + (await from.size(name)));
  }
  return kept;
}

/** Return the hash of the file that the piece called `name` belongs to. */
export function hashOf(name: string): string {
  return name.split("-")[0] ?? "";
}
