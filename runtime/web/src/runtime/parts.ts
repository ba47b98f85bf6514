/** Owns how one file is kept in pieces, so that what came of it survives a broken connection. */

import { openStorage, type Storage } from "./storage.js";

/** A piece is written when this much has come. */
export const PART_BYTES = 8 * 2 ** 20;

/** The pieces of one file, each named by the file's hash and where it begins. */
export class Parts {
  constructor(
    private readonly storage: Storage,
    private readonly sha256: string,
  ) {}

  /** Fill `data` from its beginning with what is kept; how many bytes that was. Pieces that do not fit are dropped. */
  async fill(data: Uint8Array, told: (place: number) => void): Promise<number> {
    let place = 0;
    for (const start of await this.starts()) {
      const part = start === place ? await this.storage.get(this.name(start)) : null;
      if (part === null || start + part.length > data.length) {
        await this.storage.remove(this.name(start));
        continue;
      }
      data.set(part, start);
      place += part.length;
      told(place);
    }
    return place;
  }

  /** Keep the piece that begins at `start`. */
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

/** How many bytes of each file, by its hash, are kept on this device. */
export async function keptBytes(storage?: Storage): Promise<ReadonlyMap<string, number>> {
  const from = storage ?? (await openStorage());
  const kept = new Map<string, number>();
  for (const name of await from.names()) {
    kept.set(hashOf(name), (kept.get(hashOf(name)) ?? 0) + (await from.size(name)));
  }
  return kept;
}

/** The hash of the file that the piece called `name` belongs to. */
export function hashOf(name: string): string {
  return name.split("-")[0] ?? "";
}
