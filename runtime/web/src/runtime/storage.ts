/** Owns storing downloaded parts between visits: named bytes in the browser's file system, cache or memory. */

/** Named bytes. `put` stores all bytes or none; it may fail when storage is full. */
export interface Storage {
  names(): Promise<string[]>;
  get(name: string): Promise<Uint8Array | null>;
  /** Return the number of bytes that `get` would return, without reading them; 0 where there are none. */
  size(name: string): Promise<number>;
  put(name: string, bytes: Uint8Array): Promise<void>;
  remove(name: string): Promise<void>;
}

const FOLDER = "edgedraft";

/** Open the best storage that this browser has; storage in memory lasts as long as the page. */
export async function openStorage(): Promise<Storage> {
  try {
    const root = await navigator.storage.getDirectory();
    const folder = await root.getDirectoryHandle(FOLDER, { create: true });
    if ("createWritable" in FileSystemFileHandle.prototype) return new FolderStorage(folder);
  } catch {
    // no file system here, such as in private windows
  }
  try {
    return new CacheStorageParts(await caches.open(FOLDER));
  } catch {
    return new MemoryStorage();
  }
}

/** Remove every downloaded part. */
export async function clearStorage(): Promise<void> {
  const storage = await openStorage();
  for (const name of await storage.names()) await storage.remove(name);
}

/** Ask the browser not to clear this storage when disk space is short; return whether it agreed. */
export async function persistStorage(): Promise<boolean> {
  try {
    return await navigator.storage.persist();
  } catch {
    return false;
  }
}

/** Storage in memory, for browsers without any other and for tests. */
export class MemoryStorage implements Storage {
  private readonly parts = new Map<string, Uint8Array>();

  async names(): Promise<string[]> {
    return [...this.parts.keys()];
  }

  async get(name: string): Promise<Uint8Array | null> {
    return this.parts.get(name) ?? null;
  }

  async size(name: string): Promise<number> {
    return this.parts.get(name)?.length ?? 0;
  }

  async put(name: string, bytes: Uint8Array): Promise<void> {
    this.parts.set(name, bytes.slice());
  }

  async remove(name: string): Promise<void> {
    this.parts.delete(name);
  }
}

/** Files in one folder of the origin private file system; closing a file replaces its old contents in one step. */
class FolderStorage implements Storage {
  constructor(private readonly folder: FileSystemDirectoryHandle) {}

  async names(): Promise<string[]> {
    const names: string[] = [];
    for await (const name of (this.folder as unknown as { keys(): AsyncIterable<string> }).keys()) names.push(name);
    return names;
  }

  async get(name: string): Promise<Uint8Array | null> {
    try {
      const handle = await this.folder.getFileHandle(name);
      return new Uint8Array(await (await handle.getFile()).arrayBuffer());
    } catch {
      return null;
    }
  }

  async size(name: string): Promise<number> {
    try {
      return (await (await this.folder.getFileHandle(name)).getFile()).size;
    } catch {
      return 0;
    }
  }

  async put(name: string, bytes: Uint8Array): Promise<void> {
    const handle = await this.folder.getFileHandle(name, { create: true });
    const file = await handle.createWritable();
    try {
      await file.write(bytes as Uint8Array<ArrayBuffer>);
      await file.close();
    } catch (error) {
      await file.abort().catch(() => undefined);
      await this.remove(name);
      throw error;
    }
  }

  async remove(name: string): Promise<void> {
    await this.folder.removeEntry(name).catch(() => undefined);
  }
}

/** Responses in one cache, under URLs that are never requested from a server. */
class CacheStorageParts implements Storage {
  constructor(private readonly cache: Cache) {}

  async names(): Promise<string[]> {
    return (await this.cache.keys()).map((request) => request.url.split("/").pop() ?? "");
  }

  async get(name: string): Promise<Uint8Array | null> {
    const response = await this.cache.match(addressOf(name));
    return response === undefined ? null : new Uint8Array(await response.arrayBuffer());
  }

  async size(name: string): Promise<number> {
    const response = await this.cache.match(addressOf(name));
    return response === undefined ? 0 : (await response.blob()).size;
  }

  async put(name: string, bytes: Uint8Array): Promise<void> {
    await this.cache.put(addressOf(name), new Response(bytes as Uint8Array<ArrayBuffer>));
  }

  async remove(name: string): Promise<void> {
    await this.cache.delete(addressOf(name));
  }
}

function addressOf(name: string): string {
  return new URL(`/edgedraft-part/${name}`, location.origin).href;
}
