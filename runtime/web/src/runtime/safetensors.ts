/** Owns reading the part of the safetensors format that edgedraft writes: whole int64 tensors. */

import { EdgedraftError, firstLine } from "./errors.js";

interface TensorEntry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

/** Read the int64 tensor `name` of one axis as numbers; throws `EdgedraftError` naming `file` when it is not valid. */
export function readIntegers(bytes: Uint8Array, name: string, file: string): Float64Array {
  try {
    return integers(bytes, name);
  } catch (error) {
    if (error instanceof EdgedraftError) throw new EdgedraftError(`${file}: ${error.rule}`, { got: error.got, remedy: EXPORT_AGAIN });
    throw new EdgedraftError(`${file}: not a safetensors file edgedraft can read`, { got: firstLine(error), remedy: EXPORT_AGAIN });
  }
}

const EXPORT_AGAIN = "export the bundle again";

function integers(bytes: Uint8Array, name: string): Float64Array {
  // A file begins with the size of its JSON header (8 bytes, little-endian); the data follow the header.
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const size = Number(view.getBigUint64(0, true));
  if (size > bytes.length - 8) throw new Error(`a header of ${size} bytes in a file of ${bytes.length}`);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + size))) as Record<string, TensorEntry>;
  const entry = header[name];
  if (entry === undefined) throw new EdgedraftError(`no tensor ${name}`, { got: Object.keys(header).sort().join(", ") || "none" });
  if (entry.dtype !== "I64" || entry.shape.length !== 1) throw new EdgedraftError(`${name}: expected one row of int64`, { got: entry.dtype });
  const [start, end] = entry.data_offsets;
  const count = entry.shape[0] as number;
  if (!(start >= 0 && end - start === count * 8 && 8 + size + end <= bytes.length)) throw new Error(`offsets ${start}..${end} lie outside the file`);
  return Float64Array.from({ length: count }, (_, place) => Number(view.getBigInt64(8 + size + start + place * 8, true)));
}
