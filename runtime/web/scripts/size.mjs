/** Owns the size limit: the page and the library without onnxruntime's files, compressed, must stay under 300 kB. */

import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, gzipSync } from "node:zlib";

const LIMIT_BYTES = 300_000;
const FOLDERS = ["dist/page", "dist/lib"];

function* filesOf(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* filesOf(path);
    else if (!/ort-wasm|\.map$|\.d\.ts$/.test(entry.name)) yield path;
  }
}

let failed = false;
for (const folder of FOLDERS) {
  let [raw, gzip, brotli] = [0, 0, 0];
  for (const path of filesOf(join(import.meta.dirname, "..", folder))) {
    const bytes = readFileSync(path);
    raw += bytes.length;
    gzip += gzipSync(bytes, { level: 9 }).length;
    brotli += brotliCompressSync(bytes).length;
  }
  if (raw === 0) throw new Error(`${folder}: not built; npm run build`);
  console.log(`${folder}: ${raw} bytes, gzip ${gzip}, brotli ${brotli} (limit ${LIMIT_BYTES} gzip)`);
  failed ||= gzip > LIMIT_BYTES;
}
process.exitCode = failed ? 1 : 0;
