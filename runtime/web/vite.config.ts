/**
 * Owns the builds: the page (dist/page), the library (dist/lib), and the pages that browser tests drive: dist/harness,
 * and dist/jsep with onnxruntime-web's default bundle, whose old WebGPU provider the runtime must refuse.
 */

import { readFileSync } from "node:fs";
import { defineConfig, type Plugin, type UserConfig } from "vite";

/** The kinds of onnxruntime-web's own module: the native WebGPU provider with WebAssembly in one, and the old one. */
type Kind = "asyncify" | "jsep";
const ORT_FOLDER = "assets/ort/";

/** Puts onnxruntime-web's files beside the page as they are: threads load the module again by its address. */
function ortFiles(kind: Kind): Plugin {
  return {
    name: "edgedraft-ort-files",
    apply: "build",
    generateBundle() {
      for (const name of [`ort-wasm-simd-threaded.${kind}.mjs`, `ort-wasm-simd-threaded.${kind}.wasm`]) {
        const source = readFileSync(new URL(`node_modules/onnxruntime-web/dist/${name}`, import.meta.url));
        this.emitFile({ type: "asset", fileName: `${ORT_FOLDER}${name}`, source });
      }
    },
  };
}

/** A page that works under any path and loads nothing from elsewhere. */
function page(outDir: string, root: string, kind: Kind = "asyncify"): UserConfig {
  return {
    root,
    base: "./",
    plugins: [ortFiles(kind)],
    define: { __ORT_FILES__: JSON.stringify(ORT_FOLDER) },
    resolve: {
      conditions: ["onnxruntime-web-use-extern-wasm", "module", "browser", "production"],
      alias: kind === "jsep" ? { "onnxruntime-web/webgpu": "onnxruntime-web" } : {},
    },
    build: { outDir, emptyOutDir: true, target: "es2022", modulePreload: { polyfill: false }, assetsInlineLimit: 0 },
  };
}

const folder = (path: string): string => new URL(path, import.meta.url).pathname;

const library: UserConfig = {
  build: {
    outDir: "dist/lib",
    target: "es2022",
    lib: { entry: "src/runtime/index.ts", formats: ["es"], fileName: "index" },
    rolldownOptions: { external: [/^onnxruntime-web/, /^@huggingface\//, "hash-wasm"] },
  },
};

export default defineConfig(({ mode }) => {
  if (mode === "lib") return library;
  if (mode === "harness") return page(folder("dist/harness"), folder("e2e/harness"));
  if (mode === "jsep") return page(folder("dist/jsep"), folder("e2e/harness"), "jsep");
  return page(folder("dist/page"), folder("."));
});
