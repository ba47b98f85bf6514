// Child process in node: one pass of a graph through onnxruntime-node, its logits written to a file as they are.
//
// Usage: node node_logits.cjs PACKAGES GRAPH FEEDS LOGITS
// PACKAGES is a folder with node_modules; FEEDS is a JSON file, by input: type, dims, and data unless it is all zeros.

"use strict";

const { readFileSync, writeFileSync } = require("node:fs");
const { createRequire } = require("node:module");
const { resolve, sep } = require("node:path");

const [packages, graph, feedsFile, logitsFile] = process.argv.slice(2);
const fromPackages = createRequire(resolve(packages) + sep);
const ort = fromPackages("onnxruntime-node");

const ARRAYS = { int64: BigInt64Array, float32: Float32Array, float16: Uint16Array };

function tensor({ type, dims, data }) {
  const size = dims.reduce((product, length) => product * length, 1);
  const values = data === undefined ? new ARRAYS[type](size) : BigInt64Array.from(data, BigInt);
  return new ort.Tensor(type, values, dims);
}

async function main() {
  const session = await ort.InferenceSession.create(graph, { executionProviders: ["cpu"] });
  const feeds = JSON.parse(readFileSync(feedsFile, "utf8"));
  const tensors = Object.fromEntries(Object.entries(feeds).map(([name, feed]) => [name, tensor(feed)]));
  const { logits } = await session.run(tensors, ["logits"]);
  writeFileSync(logitsFile, Buffer.from(logits.data.buffer, logits.data.byteOffset, logits.data.byteLength));
  const version = fromPackages("onnxruntime-node/package.json").version;
  console.log(JSON.stringify({ type: logits.type, dims: logits.dims, version }));
}

main();
