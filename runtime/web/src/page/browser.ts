/** Owns the real ports of the page: the runtime, the server, the browser's storage and clock. */

import {
  clearStorage,
  describeDevice,
  EdgedraftError,
  Engine,
  filesToLoad,
  isoDate,
  keptBytes,
  onnxruntimeVersion,
  postResult,
  readCapabilities,
  readManifest,
  readSession,
  runBench,
  runProbe,
  runTune,
  Tunings,
  tuningKey,
  type EngineSettings,
  type Progress,
  type SessionInfo,
} from "../runtime/index.js";
import type { OpenEngine, Ports, Site, Tuned, WantedFile } from "./ports.js";

/** Return the ports of a page that was opened at `address`. */
export function browserPorts(address: URL): Ports {
  const tunings = new Tunings();
  const tuning = address.searchParams.get("tune") !== "no";
  return {
    openSite: () => openSite(address),
    wantedFiles,
    openEngine: async (site, settings, progress, signal) => {
      const engine = await Engine.open(site.base, settings, progress, signal, site.session);
      const tune: OpenEngine["tune"] = async (...how) => (tuning ? tuneHere(engine, tunings, { site, settings }, ...how) : null);
      return opened(engine, tune);
    },
    probe: (session, base, settings, progress, signal) => runProbe(session, base, settings, clock, progress, signal),
    forget: async () => {
      tunings.forget();
      await clearStorage();
    },
    post: postResult,
    save: saveFile,
    clock,
    today: () => isoDate(new Date()),
    seed: () => crypto.getRandomValues(new Uint32Array(1))[0] ?? 0,
    onnxruntime: onnxruntimeVersion,
  };
}

/** Passes are timed for so long at most. */
const TUNING_SECONDS = 20;

const clock = (): number => performance.now() / 1000;

async function openSite(address: URL): Promise<Site> {
  const { base, session } = await placeOf(address);
  const [manifest, capabilities, device] = await Promise.all([
    readManifest(new URL(session.bundle, base)),
    readCapabilities(),
    describeDevice(),
  ]);
  return { base, session, manifest, capabilities, device, freeBytes: await freeBytes() };
}

async function wantedFiles({ base, session, manifest }: Site, withFull: boolean): Promise<readonly WantedFile[]> {
  const kept = await keptBytes();
  const files = filesToLoad(manifest, session, base, withFull);
  return files.map(({ name, bytes, sha256 }) => ({ path: name, bytes, keptBytes: kept.get(sha256) ?? 0 }));
}

/** The session of a folder of plain files: its bundle, no probe, and no server that takes results. */
const PLAIN_FILES: SessionInfo = {
  bundle: "./",
  full_drafter: null,
  probe: { cases: [], rows: [], rounds: 0 },
  prompts: [],
  post_results: false,
};

/** Find the session: beside the page, or with `?bundle=` in a folder of plain files on the same server. */
async function placeOf(address: URL): Promise<{ base: URL; session: SessionInfo }> {
  const given = address.searchParams.get("bundle");
  if (given === null) {
    const base = new URL("./", address);
    return { base, session: await readSession(base) };
  }
  return { base: bundleBase(given, address), session: PLAIN_FILES };
}

/** Return the folder that `?bundle=` names, ending in a slash; other servers are refused. */
export function bundleBase(given: string, address: URL): URL {
  const base = new URL(given.endsWith("/") ? given : `${given}/`, address);
  if (base.origin === address.origin) return base;
  throw new EdgedraftError("bundle: expected an address on this page's own server", {
    got: base.origin,
    remedy: "serve the bundle beside the page",
  });
}

async function freeBytes(): Promise<number | null> {
  try {
    const { quota, usage } = await navigator.storage.estimate();
    return quota === undefined ? null : Math.max(0, quota - (usage ?? 0));
  } catch {
    return null; // no storage here, such as in insecure pages
  }
}

/** Let `engine` run by the plan that was tuned on this device; tune now where there is none. */
async function tuneHere(
  engine: Engine,
  tunings: Tunings,
  { site, settings }: { site: Site; settings: EngineSettings },
  progress: Progress,
  signal: AbortSignal,
): Promise<Tuned | null> {
  const runs = { providers: engine.providers, threads: settings.threads, onnxruntime: onnxruntimeVersion };
  const key = await tuningKey(site.manifest, site.device, runs);
  const known = await tunings.kept(key);
  const plan = known ?? (await runTune(engine, site.device.name, { clock, deadline: clock() + TUNING_SECONDS, progress, signal }));
  if (plan === null) return null;
  engine.use(plan);
  return { plan, kept: known !== null || (await tunings.keep(key, plan)) };
}

function opened(engine: Engine, tune: OpenEngine["tune"]): OpenEngine {
  return {
    tune,
    providers: engine.providers,
    hasFull: engine.hasFull,
    answer: (messages, options, onRound) => engine.stream(messages, { ...options, onRound }),
    bench: (prompts, maxNewTokens, progress, signal) => runBench(engine, prompts, maxNewTokens, clock, progress, signal),
    leftOut: (messages, maxNewTokens) => engine.fit(messages, maxNewTokens).droppedMessages,
    close: () => engine.close(),
  };
}

function saveFile(name: string, value: unknown): void {
  const blob = new Blob([`${JSON.stringify(value, null, 2)}\n`], { type: "application/json" });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
