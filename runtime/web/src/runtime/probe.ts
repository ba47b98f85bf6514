/** Owns the probe: it times every case once a round, so that a slow moment affects all of them alike. */

import { fileLoader } from "./assembly.js";
import { checkInside } from "./manifest.js";
import { readCapabilities, usableThreads, type Capabilities, type Provider } from "./capabilities.js";
import { deviceReport, type DeviceReport } from "./device.js";
import { demand, firstLine } from "./errors.js";
import type { FileLoader } from "./files.js";
import { checkFits } from "./needs.js";
import type { Clock } from "./model.js";
import type { Progress } from "./progress.js";
import { isoDate } from "./dates.js";
import { Runtime, Tensor, onnxruntimeVersion, type Graph } from "./session.js";
import type { ProbeCase, SessionInfo } from "./sessionInfo.js";

/** Seconds, one a round, of a pass over `rows` rows through `layers` products `width` wide. */
export interface ProbeStep {
  readonly provider: Provider;
  readonly precision: string;
  readonly threads: number;
  readonly width: number;
  readonly layers: number;
  readonly weight_bytes: number;
  readonly rows: number;
  readonly seconds: readonly number[];
}

/** Seconds, one a round, of a pass that computes almost nothing: the fixed cost of a pass. */
export interface ProbeOverhead {
  readonly provider: Provider;
  readonly seconds: readonly number[];
}

/** The results of a probe; `skipped` has one line for each case that could not run. */
export interface ProbeReport {
  readonly device: DeviceReport;
  readonly onnxruntime: string;
  readonly date: string;
  readonly seconds: number;
  readonly steps: readonly ProbeStep[];
  readonly overheads: readonly ProbeOverhead[];
  readonly skipped: readonly string[];
}

/** The providers to probe, and the number of WebAssembly threads. */
export interface ProbeSettings {
  readonly providers: readonly Provider[];
  readonly threads: number;
  readonly device?: GPUDevice;
}

/** Cases with fewer bytes of weights compute almost nothing; they show the fixed cost of a pass. */
const OVERHEAD_BYTES = 65536;

/** Precisions whose products a provider would leave to the CPU. */
const LACKING: Readonly<Record<Provider, readonly string[]>> = { webgpu: ["int8-dynamic"], wasm: [] };

/** One open case at one number of rows, and its times so far. */
interface Timed {
  readonly runtime: Runtime;
  readonly graph: Graph;
  readonly about: ProbeCase;
  readonly rows: number;
  readonly input: Tensor;
  readonly seconds: number[];
}

/**
 * Time the session's cases on each provider. What a provider cannot run is skipped, with the reason. `clock` returns
 * seconds; `progress` counts bytes while graphs load, then passes. An abort throws its reason.
 */
export async function runProbe(
  session: SessionInfo,
  base: URL,
  settings: ProbeSettings,
  clock: Clock,
  progress: Progress,
  signal?: AbortSignal,
): Promise<ProbeReport> {
  const begun = clock();
  const capabilities = await readCapabilities(settings.device);
  const runner = new ProbeRunner(session, base, capabilities, await fileLoader(), progress, signal);
  try {
    for (const provider of settings.providers) await runner.probe(provider, settings, clock);
    return {
      device: deviceReport(navigator.userAgent, capabilities),
      onnxruntime: onnxruntimeVersion,
      date: isoDate(new Date()),
      seconds: clock() - begun,
      ...runner.summary(),
    };
  } finally {
    await runner.release();
  }
}

/** Opens and times the cases of one provider after the other, and collects what could not run. */
class ProbeRunner {
  private readonly graphs: Graph[] = [];
  private readonly done: Timed[] = [];
  private readonly skipped: string[] = [];
  private timed: Timed[] = [];

  constructor(
    private readonly session: SessionInfo,
    private readonly base: URL,
    private readonly capabilities: Capabilities,
    private readonly loader: FileLoader,
    private readonly progress: Progress,
    private readonly signal?: AbortSignal,
  ) {}

  /** Time all cases on `provider`, then close them: phones have no memory for two providers' graphs. */
  async probe(provider: Provider, settings: ProbeSettings, clock: Clock): Promise<void> {
    await this.start(provider, settings);
    await this.timeRounds(clock);
    this.done.push(...this.timed);
    this.timed = [];
    await this.release();
  }

  summary(): Pick<ProbeReport, "steps" | "overheads" | "skipped"> {
    const overheads = this.done.filter(isOverhead).map(({ runtime, seconds }) => ({ provider: runtime.provider, seconds }));
    const steps = this.done.filter((one) => !isOverhead(one)).map(stepOf);
    return { steps, overheads, skipped: this.skipped };
  }

  async release(): Promise<void> {
    for (const graph of this.graphs.splice(0)) await graph.release();
  }

  private async start(provider: Provider, settings: ProbeSettings): Promise<void> {
    const threads = usableThreads(settings.threads, this.capabilities);
    try {
      checkFits({ name: "probe", largestTensorBytes: 0, half: false, operators: [], fileBytes: 0 }, provider, this.capabilities);
      const runtime = await Runtime.start(provider, threads, settings.device);
      for (const about of this.session.probe.cases) await this.open(runtime, about);
    } catch (error) {
      this.signal?.throwIfAborted();
      this.skipped.push(`${provider}: ${firstLine(error)}`);
    }
  }

  /** Time every case once a round, after one pass each to warm up. Sorted by rows, no graph runs twice in a row, which would leave its weights cached. */
  private async timeRounds(clock: Clock): Promise<void> {
    const { rounds } = this.session.probe;
    const all = this.timed.length * (rounds + 1);
    this.timed.sort((one, other) => one.rows - other.rows);
    for (let round = 0; round <= rounds; round += 1) {
      for (const [place, one] of this.timed.entries()) {
        this.signal?.throwIfAborted();
        const started = clock();
        await pass(one);
        if (round > 0) one.seconds.push(clock() - started);
        this.progress("probe passes", round * this.timed.length + place + 1, all);
      }
    }
  }

  private async open(runtime: Runtime, about: ProbeCase): Promise<void> {
    try {
      const largestTensorBytes = about.weight_bytes / Math.max(about.layers, 1);
      const needs = { name: about.file, largestTensorBytes, half: about.half, operators: [], fileBytes: about.bytes };
      checkFits(needs, runtime.provider, this.capabilities);
      const lacking = LACKING[runtime.provider].includes(about.precision);
      demand(!lacking, `${runtime.provider} has no kernels for it`, { remedy: "probe it on wasm" });
      const bytes = await this.load(about);
      const graph = await runtime.open({ name: about.file, graph: bytes, data: [], alone: true });
      this.graphs.push(graph);
      const rows = about.weight_bytes < OVERHEAD_BYTES ? [1] : this.session.probe.rows;
      this.timed.push(...rows.map((count) => ({ runtime, graph, about, rows: count, input: inputFor(graph, count, about.width), seconds: [] })));
    } catch (error) {
      this.signal?.throwIfAborted();
      this.skipped.push(`${about.precision} ${about.width} wide on ${runtime.provider}: ${firstLine(error)}`);
    }
  }

  private load(about: ProbeCase): Promise<Uint8Array> {
    checkInside(about.file);
    const file = { name: about.file, url: new URL(about.file, this.base), bytes: about.bytes, sha256: about.sha256 };
    return this.loader.load(file, (bytes) => this.progress(`loading ${about.file}`, bytes, about.bytes), this.signal);
  }
}

function isOverhead({ about }: Timed): boolean {
  return about.weight_bytes < OVERHEAD_BYTES;
}

function stepOf({ runtime, about, rows, seconds }: Timed): ProbeStep {
  const { precision, width, layers, weight_bytes } = about;
  return { provider: runtime.provider, precision, threads: runtime.threads, width, layers, weight_bytes, rows, seconds };
}

/** Run one pass, to the end of reading its output: a GPU returns from the pass before it has computed. */
async function pass({ graph, input }: Timed): Promise<void> {
  const [from, to] = [graph.inputs[0]?.name ?? "", graph.outputs[0]?.name ?? ""];
  const outputs = await graph.run({ [from]: input }, { [to]: null });
  const data = await (outputs[to] as Tensor).getData();
  demand(data.length === input.size, "probe: a pass must yield as much as it takes", { got: data.length });
}

/** Return an input of ones, in the type that the graph takes; 0x3c00 is 1 in float16. */
function inputFor(graph: Graph, rows: number, width: number): Tensor {
  const count = rows * width;
  if (graph.inputs[0]?.type !== "float16") return new Tensor("float32", new Float32Array(count).fill(1), [rows, width]);
  return new Tensor("float16", new Uint16Array(count).fill(0x3c00), [rows, width]);
}
