/** Owns the keys and values of one model, and the tensors by which a pass reads and writes them. */

import { Tensor } from "./session.js";
import type { CacheInput } from "./signature.js";

/** Tensors by the graph's names. */
export type Tensors = Record<string, Tensor>;

/** Keys and values of one model. They stay as they are until `written`, so that a failed pass can be repeated. */
export interface Cache {
  /** Return the tensors that a pass reads. */
  pasts(): Tensors;
  /** Return the tensors that a pass writes; for null, ONNX Runtime makes one. */
  presents(): Record<string, Tensor | null>;
  /** Note that the pass has run, with these outputs. */
  written(outputs: Readonly<Record<string, Tensor>>): void;
  release(): void;
}

const BYTES = { float32: 4, float16: 2 } as const;

/** One GPU buffer for each layer's keys or values, bound as past and present at once; a rewind changes only a length. */
export class GpuCache implements Cache {
  private readonly buffers: GPUBuffer[] = [];
  private readonly tensors: readonly Tensor[];

  constructor(
    device: GPUDevice,
    private readonly caches: readonly CacheInput[],
    contextLength: number,
  ) {
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    this.tensors = caches.map(({ heads, width, type }) => {
      const dims = [1, heads, contextLength, width];
      const bytes = heads * contextLength * width * BYTES[type];
      // Rounded up to 16 bytes, as ONNX Runtime rounds its own buffers.
      const buffer = device.createBuffer({ size: Math.ceil(bytes / 16) * 16, usage });
      this.buffers.push(buffer);
      return Tensor.fromGpuBuffer(buffer, { dataType: type, dims });
    });
  }

  pasts(): Tensors {
    return Object.fromEntries(this.caches.map((cache, place) => [cache.name, this.tensors[place] as Tensor]));
  }

  presents(): Tensors {
    return Object.fromEntries(this.caches.map((cache, place) => [cache.present, this.tensors[place] as Tensor]));
  }

  written(): void {}

  release(): void {
    this.buffers.forEach((buffer) => buffer.destroy());
  }
}

/**
 * Keys and values that each pass copies: its presents are the pasts of the next pass. After a rewind they are longer than
 * the text; the attention mask tells the kernel how much of them counts, and it overwrites the rest.
 */
export class CpuCache implements Cache {
  private stored: readonly Tensor[];

  constructor(private readonly caches: readonly CacheInput[]) {
    this.stored = caches.map(({ heads, width, type }) => {
      const data = type === "float32" ? new Float32Array(0) : new Uint16Array(0);
      return new Tensor(type, data, [1, heads, 0, width]);
    });
  }

  pasts(): Tensors {
    return Object.fromEntries(this.caches.map((cache, place) => [cache.name, this.stored[place] as Tensor]));
  }

  presents(): Record<string, null> {
    return Object.fromEntries(this.caches.map((cache) => [cache.present, null]));
  }

  written(outputs: Readonly<Record<string, Tensor>>): void {
    this.stored = this.caches.map((cache) => outputs[cache.present] as Tensor);
  }

  release(): void {
    this.stored = [];
  }
}
