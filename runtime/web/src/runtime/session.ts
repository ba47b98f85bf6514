/** Owns onnxruntime-web: its one runtime in the page, and sessions on it. No other file imports it. */

import * as ort from "onnxruntime-web/webgpu";
import type { Provider } from "./capabilities.js";
import { EdgedraftError, demand, firstLine } from "./errors.js";
import { GpuWatch, pageDevice } from "./gpu.js";
import type { GraphValue } from "./signature.js";
import { enqueue } from "./queue.js";

export { Tensor } from "onnxruntime-web/webgpu";

/** The folder of onnxruntime-web's own files, relative to the page; absent in builds other than the page's. */
declare const __ORT_FILES__: string | undefined;

/** Name and version of the runtime, for reports. */
export const onnxruntimeVersion = `onnxruntime-web ${ort.env.versions.web ?? ort.env.versions.common}`;

/** One file of a graph's external data, under the name that the graph knows it by. */
export interface ExternalData {
  readonly path: string;
  readonly data: Uint8Array;
}

/** A graph to open; `alone`: the CPU may not run nodes that the provider lacks. */
export interface GraphFiles {
  readonly name: string;
  readonly graph: Uint8Array;
  readonly data: readonly ExternalData[];
  readonly alone?: boolean;
}

/** A loaded graph. */
export interface Graph {
  readonly inputs: readonly GraphValue[];
  readonly outputs: readonly GraphValue[];
  /** Run one pass; an output that is null in `fetches` comes back in memory of its own. */
  run(feeds: Record<string, ort.Tensor>, fetches: Record<string, ort.Tensor | null>): Promise<Record<string, ort.Tensor>>;
  release(): Promise<void>;
}

let threadsOfPage: number | null = null;

/** Opens graphs on one provider of the page's runtime. */
export class Runtime {
  private constructor(
    readonly provider: Provider,
    readonly threads: number,
    private readonly watch: GpuWatch | null,
  ) {}

  /** Start `provider`, on `device` if given. WebGPU must first add four numbers correctly. */
  static async start(provider: Provider, threads: number, device?: GPUDevice): Promise<Runtime> {
    configure(threads);
    if (provider === "wasm") return new Runtime(provider, threads, null);
    const runtime = new Runtime(provider, threads, new GpuWatch(device ?? (await pageDevice())));
    await runtime.requireNative();
    return runtime;
  }

  /** The GPU device that holds all weights, keys and values. */
  get device(): GPUDevice {
    demand(this.watch !== null, "there is no GPU device on WebAssembly");
    return this.watch.device;
  }

  /** Load a graph; throws `EdgedraftError` naming it when ONNX Runtime cannot. */
  async open(files: GraphFiles): Promise<Graph> {
    try {
      const session = await enqueue(() => ort.InferenceSession.create(files.graph, this.options(files)));
      this.watch?.check();
      return new OnnxGraph(files.name, session, this.watch);
    } catch (error) {
      throw refusal(`${files.name}: ONNX Runtime cannot open it on ${this.provider}`, error);
    }
  }

  private options(files: GraphFiles): ort.InferenceSession.SessionOptions {
    const gpu = this.watch && ({ name: "webgpu", device: this.watch.device } as ort.InferenceSession.WebGpuExecutionProviderOption);
    return {
      executionProviders: [gpu ?? "wasm"],
      externalData: files.data.map(({ path, data }) => ({ path, data })),
      logSeverityLevel: 3,
      ...(files.alone && gpu ? { extra: { session: { disable_cpu_ep_fallback: "1" } } } : {}),
    };
  }

  /**
   * Refuse onnxruntime-web's older WebGPU provider (JSEP), which the package's default bundle contains: it ignores the
   * device it is given, cannot keep keys and values in one buffer, and silently computes zeros from float16.
   */
  private async requireNative(): Promise<void> {
    const remedy = "load onnxruntime-web/webgpu (the native WebGPU provider), not the default or the /all bundle";
    const graph = await this.open({ name: "WebGPU check", graph: TWICE, data: [], alone: true });
    try {
      const doubled = await twiceOnGpu(this.device, graph).catch(firstLine);
      demand(String(doubled) === "2,4,6,8", "onnxruntime-web must compute on the GPU device of this page", { got: doubled, remedy });
    } finally {
      await graph.release();
    }
  }
}

class OnnxGraph implements Graph {
  readonly inputs: readonly GraphValue[];
  readonly outputs: readonly GraphValue[];

  constructor(
    private readonly name: string,
    private readonly session: ort.InferenceSession,
    private readonly watch: GpuWatch | null,
  ) {
    this.inputs = session.inputMetadata.flatMap(declared);
    this.outputs = session.outputMetadata.flatMap(declared);
  }

  async run(feeds: Record<string, ort.Tensor>, fetches: Record<string, ort.Tensor | null>): Promise<Record<string, ort.Tensor>> {
    try {
      const outputs = await enqueue(() => this.session.run(feeds, fetches));
      this.watch?.check();
      // An output that silently moved to the CPU would be copied in every pass, and keys and values would not be updated.
      for (const [name, bound] of Object.entries(fetches)) {
        const kept = bound === null || bound.location !== "gpu-buffer" || outputs[name]?.location === "gpu-buffer";
        demand(kept, `${this.name}: output ${name} must stay on the GPU`, { got: outputs[name]?.location });
      }
      return outputs as Record<string, ort.Tensor>;
    } catch (error) {
      throw refusal(`${this.name}: ONNX Runtime failed`, error);
    }
  }

  async release(): Promise<void> {
    await enqueue(() => this.session.release());
  }
}

/** Set up the page's one WebAssembly module; the first session fixes its number of threads. */
function configure(threads: number): void {
  const remedy = "reload the page to change the number of threads";
  demand(threadsOfPage === null || threadsOfPage === threads, `this page already runs with ${threadsOfPage} threads`, { got: threads, remedy });
  if (threadsOfPage === null) {
    ort.env.wasm.numThreads = threads;
    ort.env.logLevel = "error";
    if (typeof __ORT_FILES__ === "string") ort.env.wasm.wasmPaths = new URL(__ORT_FILES__, document.baseURI).href;
    threadsOfPage = threads;
  }
}

function declared(node: ort.InferenceSession.ValueMetadata): GraphValue[] {
  return node.isTensor ? [{ name: node.name, type: node.type, shape: node.shape }] : [];
}

/** Return our own errors unchanged, any other as one line under `rule`. */
function refusal(rule: string, error: unknown): EdgedraftError {
  if (error instanceof EdgedraftError) return error;
  const text = firstLine(error);
  const memory = /alloc|out of memory|OOM/i.test(text);
  return new EdgedraftError(rule, { got: text, ...(memory ? { remedy: "close other pages, or export a smaller precision" } : {}) });
}

/** Double 1, 2, 3, 4 through GPU buffers of this page's own device. */
async function twiceOnGpu(device: GPUDevice, graph: Graph): Promise<Float32Array> {
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  const [from, to] = [device.createBuffer({ size: 16, usage }), device.createBuffer({ size: 16, usage })];
  const shown = device.createBuffer({ size: 16, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  device.queue.writeBuffer(from, 0, new Float32Array([1, 2, 3, 4]));
  const [x, y] = [from, to].map((buffer) => ort.Tensor.fromGpuBuffer(buffer, { dataType: "float32", dims: [4] }));
  await graph.run({ x: x as ort.Tensor }, { y: y as ort.Tensor });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(to, 0, shown, 0, 16);
  device.queue.submit([encoder.finish()]);
  await shown.mapAsync(GPUMapMode.READ);
  const doubled = new Float32Array(shown.getMappedRange().slice(0));
  [from, to, shown].forEach((buffer) => buffer.destroy());
  return doubled;
}

/** An ONNX model of one node, y = x + x over four float32. */
const TWICE = Uint8Array.from(
  atob("CAgSADo5Cg4KAXgKAXgSAXkiA0FkZBIFdHdpY2VaDwoBeBIKCggIARIECgIIBGIPCgF5EgoKCAgBEgQKAggEQgQKABAR"),
  (letter) => letter.charCodeAt(0),
);
