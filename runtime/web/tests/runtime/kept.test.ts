import { expect, it } from "vitest";
import { filesToLoad } from "../../src/runtime/assembly.js";
import { keptBytes, Parts } from "../../src/runtime/parts.js";
import { MemoryStorage } from "../../src/runtime/storage.js";
import { MANIFEST, SESSION } from "../page/fakes.js";

const BASE = new URL("https://phone.test/token/");

it("what is kept is counted by file, over its parts", async () => {
  const storage = new MemoryStorage();
  await new Parts(storage, "aa").put(0, new Uint8Array(3));
  await new Parts(storage, "aa").put(3, new Uint8Array(4));
  await new Parts(storage, "bb").put(0, new Uint8Array(5));
  expect([...(await keptBytes(storage))]).toEqual([
    ["aa", 7],
    ["bb", 5],
  ]);
});

it("every file that opening downloads is named, with its address", () => {
  const files = filesToLoad(MANIFEST, SESSION, BASE, false);
  expect(files.map((file) => file.name)).toEqual([
    "tokenizer.json",
    "drafter/index_map.safetensors",
    "target/model.onnx",
    "target/model.onnx.data",
    "drafter/model.onnx",
    "drafter/model.onnx.data",
  ]);
  expect(files[0]?.url.href).toBe("https://phone.test/token/bundle/tokenizer.json");
});

it("the full drafter comes from the session, beside the bundle", () => {
  const full = { graph: "full/model.onnx", data: [], largest_tensor_bytes: 1, half: false, operators: [], files: { "full/model.onnx": { bytes: 5, sha256: "c".repeat(64) } } };
  const files = filesToLoad(MANIFEST, { ...SESSION, full_drafter: full }, BASE, true);
  expect(files.at(-1)).toMatchObject({ name: "full/model.onnx", bytes: 5, url: new URL("https://phone.test/token/full/model.onnx") });
});
