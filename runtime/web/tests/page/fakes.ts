/** A manifest, a device and a world for the page's tests; small, whole and free of any model. */

import { createActions, type Actions } from "../../src/page/actions.js";
import { mount } from "../../src/page/mount.js";
import type { OnRound, OpenEngine, Ports, Site } from "../../src/page/ports.js";
import { INITIAL, type State } from "../../src/page/state.js";
import { createStore, type Store } from "../../src/page/store.js";
import type { BenchReport, Capabilities, DecodingOptions, Manifest, Message, ModelEntry, ProbeReport, SessionInfo, TextPiece, WayReport } from "../../src/runtime/index.js";
import { untimed } from "../runtime/fakes.js";

export const MODEL: ModelEntry = {
  name: "small-coder-1.5b",
  base_model: "someone/small-coder",
  license: "Apache-2.0",
  graph: "target/model.onnx",
  precision: "int4",
  parameters: 1_500_000_000,
  weight_bytes: 900_000_000,
  conversion: "small-coder-1.5b-int4",
  data: ["target/model.onnx.data"],
  largest_tensor_bytes: 100 * 2 ** 20,
  half: false,
  operators: ["MatMulNBits"],
  state_bytes: 0,
};

const file = (bytes: number) => ({ bytes, sha256: "0".repeat(64) });

export const MANIFEST: Manifest = {
  schema_version: 5,
  target: MODEL,
  drafter: { ...MODEL, name: "small-coder-0.5b", graph: "drafter/model.onnx", data: ["drafter/model.onnx.data"], largest_tensor_bytes: 30 * 2 ** 20 },
  index_map: "drafter/index_map.safetensors",
  target_vocab_size: 151_936,
  context_length: 32_768,
  end_token_ids: [2],
  tokenizer_fingerprint: "f".repeat(64),
  calibration: {
    prompts: "coding prompts",
    ranking_prompts: 1,
    scoring_prompts: 1,
    ranking_tokens: 1,
    scoring_tokens: 1,
    coverage: 0.95,
    coverage_low: 0.94,
    coverage_high: 0.96,
    ranked_by: ["target"],
  },
  plan: {
    draft_vocab_size: 32_512,
    draft_length: 2,
    target_precision: "int4",
    drafter_precision: "int4",
    threads: 2,
    predicted_tokens_per_second: 12,
    predicted_plain_tokens_per_second: 10,
    predicted_block_efficiency: 1.75,
    predicted_acceptance_rate: 0.77,
    target_pass_seconds: [0.1, 0.11, 0.12],
    drafter_pass_seconds: [0.01],
    speculate: true,
    reason: "speculate",
    device: "a phone",
    speed_up_low: 1.1,
    speed_up_high: 1.3,
    chance_to_pay: 0.95,
    kernels: { target: "", drafter: "" },
    policy: null,
    conversation_rows: 0,
  },
  files: {
    "target/model.onnx": file(1_000_000),
    "target/model.onnx.data": file(899_000_000),
    "drafter/model.onnx": file(500_000),
    "drafter/model.onnx.data": file(99_500_000),
    "drafter/index_map.safetensors": file(260_000),
    "tokenizer.json": file(9_740_000),
  },
  provider: "webgpu",
  divergence: null,
  drafter_divergence: null,
  drafter_context_length: null,
  drafter_kind: "independent",
  layer: null,
  forecast: null,
  head_rows: null,
};

export const CAPABILITIES: Capabilities = {
  webgpu: true,
  adapter: "arm valhall",
  softwareAdapter: false,
  shaderF16: true,
  maxBufferBytes: 2 ** 31,
  maxBindingBytes: 2 ** 30,
  isolated: true,
  cores: 8,
  memoryGigabytes: 8,
  secure: true,
  ios: false,
};

export const SESSION: SessionInfo = {
  bundle: "bundle/",
  full_drafter: null,
  probe: {
    cases: [{ file: "probe/int4-64.onnx", bytes: 5_000_000, sha256: "1".repeat(64), precision: "int4", width: 64, layers: 2, weight_bytes: 4_000_000, half: false }],
    rows: [1, 2, 4],
    rounds: 3,
  },
  prompts: ["One?", "Two?", "Three?"],
  post_results: true,
};

export const DEVICE = {
  name: "Pixel 9",
  user_agent: "a browser",
  adapter: "arm valhall",
  software_adapter: false,
  cores: 8,
  memory_gigabytes: 8,
  shader_f16: true,
  max_buffer_bytes: 2 ** 31,
  max_binding_bytes: 2 ** 30,
};

export const SITE: Site = {
  base: new URL("https://phone.test/token/"),
  session: SESSION,
  manifest: MANIFEST,
  capabilities: CAPABILITIES,
  device: DEVICE,
  freeBytes: 20e9,
};

export function way(median: number, change: Partial<WayReport> = {}): WayReport {
  return {
    tokens_per_second: { median: 10 * median, low: 9 * median, high: 11 * median },
    speed_up: { median, low: median - 0.05, high: median + 0.05 },
    block_efficiency: 1.7,
    acceptance_rate: 0.75,
    rounds: 100,
    tokens: 170,
    draft_tokens_proposed: 100,
    draft_tokens_evaluated: 93,
    draft_tokens_accepted: 70,
    drafter_milliseconds: 10,
    target_milliseconds: 90,
    overhead_milliseconds: 1,
    prompt_milliseconds: 500,
    mbsu_by_parameters: null,
    mbsu_by_bytes: null,
    mbsu_by_seconds: null,
    equal_texts: 3,
    ...change,
  };
}

export const BENCH: BenchReport = {
  prompts: 3,
  max_new_tokens: 64,
  ways: {
    plain: way(1, { draft_tokens_proposed: 0, block_efficiency: 1, acceptance_rate: 0 }),
    trimmed: way(1.2),
  },
};

export const PROBE: ProbeReport = {
  device: DEVICE,
  onnxruntime: "onnxruntime-web 1.30.0",
  date: "2026-11-23",
  seconds: 61,
  steps: [1, 2, 4].map((rows) => ({
    provider: "webgpu" as const,
    precision: "int4",
    threads: 1,
    width: 64,
    layers: 2,
    weight_bytes: 4_000_000,
    rows,
    seconds: [0.01 * (1 + (rows - 1) / 10), 0.5, 0.001],
  })),
  overheads: [],
  skipped: [],
};

/** An engine that answers with `pieces` and calls each a target pass of its own. */
export function fakeEngine(pieces: readonly TextPiece[]): OpenEngine & { asked: { messages: readonly Message[]; options: DecodingOptions }[] } {
  const asked: { messages: readonly Message[]; options: DecodingOptions }[] = [];
  return {
    asked,
    providers: { target: "webgpu", drafter: "wasm" },
    hasFull: false,
    tune: async () => null,
    async *answer(messages, options, onRound: OnRound) {
      asked.push({ messages, options });
      for (const piece of pieces) {
        onRound(untimed(piece.tokenIds, piece.drafted ? 1 : 0, piece.drafted ? 1 : 0));
        yield piece;
      }
    },
    bench: async (_prompts, _maxNewTokens, progress) => {
      progress("bench runs", 1, 2);
      return BENCH;
    },
    leftOut: () => 0,
    close: async () => {},
  };
}

export interface World {
  readonly ports: Ports;
  readonly posted: { kind: string; result: unknown }[];
  readonly saved: { name: string; value: unknown }[];
}

/** A world in which everything works, unless `change` says otherwise. The clock gains a second a look. */
export function fakeWorld(change: Partial<Ports> = {}): World {
  const posted: World["posted"] = [];
  const saved: World["saved"] = [];
  let seconds = 0;
  const ports: Ports = {
    openSite: async () => SITE,
    wantedFiles: async (site) => Object.entries(site.manifest.files).map(([path, { bytes }]) => ({ path, bytes, keptBytes: 0 })),
    openEngine: async () => fakeEngine([]),
    probe: async () => PROBE,
    forget: async () => {},
    post: async (_base, kind, result) => void posted.push({ kind, result }),
    save: (name, value) => void saved.push({ name, value }),
    clock: () => (seconds += 1),
    today: () => "2026-11-23",
    seed: () => 7,
    onnxruntime: "onnxruntime-web 1.30.0",
    ...change,
  };
  return { ports, posted, saved };
}

export interface Page {
  readonly store: Store<State>;
  readonly actions: Actions;
  /** The element of this id; an error where there is none. */
  at<Kind extends HTMLElement = HTMLElement>(id: string): Kind;
  /** Whether there is an element of this id. */
  has(id: string): boolean;
  /** Click and let everything settle. */
  click(id: string): Promise<void>;
}

/** The page, opened in the test's document; drawn at once after every change. */
export async function openPage(ports: Ports): Promise<Page> {
  document.body.innerHTML = '<div id="root"></div>';
  const store = createStore(INITIAL);
  const actions = createActions(store, ports);
  const at = <Kind extends HTMLElement>(id: string): Kind => {
    const found = document.getElementById(id);
    if (found === null) throw new Error(`no element ${id} in ${document.body.innerHTML}`);
    return found as Kind;
  };
  mount(at("root"), store, actions, (draw) => draw());
  await actions.opening.open();
  const click = async (id: string) => {
    at(id).click();
    await settled();
  };
  return { store, actions, at, has: (id) => document.getElementById(id) !== null, click };
}

/** All that was promised has happened. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

export const piece = (text: string, drafted: boolean) => ({ text, drafted, tokenIds: [1] });

/** What an element says, its spaces made one. */
export const words = (element: Element): string => (element.textContent ?? "").replace(/\s+/g, " ").trim();

/** The page with `engine` loaded, and a way to say something. */
export async function chatting(engine = fakeEngine([])): Promise<Page & { say(text: string): Promise<void> }> {
  const page = await openPage(fakeWorld({ openEngine: async () => engine }).ports);
  await page.click("load");
  const say = async (text: string) => {
    page.actions.chatting.type(text);
    await page.click("chat-send");
  };
  return { ...page, say };
}
