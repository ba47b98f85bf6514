/** Owns how the unit tests run: in Node, except where a test file asks for a document. */

import { defineConfig } from "vitest/config";

export default defineConfig({ test: { include: ["tests/**/*.test.{ts,tsx}"], environment: "node" } });
