/** Owns keeping what tuning chose in the browser's storage, by bundle and device. */

import type { Provider } from "./capabilities.js";
import type { DeviceReport } from "./device.js";
import { sha256 } from "./hashing.js";
import type { Manifest } from "./manifest.js";
import { readPlan, type DecodingPlan } from "./plan.js";
import { openStorage, type Storage } from "./storage.js";

/** Begins the names of tunings in the storage, which holds pieces of files under their hashes. */
const PREFIX = "tuning-";

/** The subject of a tuning: the bundle by its manifest's SHA-256, the device, and what runs the models there. */
export interface TuningKey {
  readonly bundle: string;
  readonly browser: string;
  readonly adapter: string;
  readonly cores: number;
  readonly providers: { readonly target: Provider; readonly drafter: Provider };
  readonly threads: number;
  readonly onnxruntime: string;
}

/** Return the key of a bundle on a device. */
export async function tuningKey(
  manifest: Manifest,
  { user_agent: browser, adapter, cores }: DeviceReport,
  { providers, threads, onnxruntime }: Pick<TuningKey, "providers" | "threads" | "onnxruntime">,
): Promise<TuningKey> {
  return { bundle: await sha256(encoded(manifest)), browser, adapter, cores, providers, threads, onnxruntime };
}

/** The plans that were tuned on this device: those of this visit, and those that the browser keeps. */
export class Tunings {
  private readonly ofVisit = new Map<string, DecodingPlan>();

  constructor(private readonly open: () => Promise<Storage> = openStorage) {}

  /** Return the plan that was kept under `key`; null where there is none, or none that can be read. */
  async kept(key: TuningKey): Promise<DecodingPlan | null> {
    const name = await nameOf(key);
    return this.ofVisit.get(name) ?? (await this.stored(name, key));
  }

  /** Keep a plan for this visit and, where this browser stores anything, for the next; return whether it does. */
  async keep(key: TuningKey, plan: DecodingPlan): Promise<boolean> {
    const name = await nameOf(key);
    this.ofVisit.set(name, plan);
    try {
      await (await this.open()).put(name, encoded({ key, plan }));
      // Opened again, a storage in memory is empty.
      return (await (await this.open()).size(name)) > 0;
    } catch {
      return false; // full or forbidden: the next visit tunes again
    }
  }

  /** Forget the plans of this visit; `clearStorage` removes those that are stored. */
  forget(): void {
    this.ofVisit.clear();
  }

  private async stored(name: string, key: TuningKey): Promise<DecodingPlan | null> {
    try {
      const bytes = await (await this.open()).get(name);
      if (bytes === null) return null;
      const found = JSON.parse(new TextDecoder().decode(bytes)) as { key: TuningKey; plan: unknown };
      return JSON.stringify(found.key) === JSON.stringify(key) ? readPlan(found.plan, "tuning") : null;
    } catch {
      return null; // damaged, or of another version of the page: it is tuned again
    }
  }
}

async function nameOf(key: TuningKey): Promise<string> {
  return PREFIX + (await sha256(encoded(key)));
}

function encoded(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}
