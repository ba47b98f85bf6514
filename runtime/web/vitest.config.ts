/** Owns how the unit tests run: in Node, except where a test file asks for a document. */

import { defineConfig } from "vitest/config";

// A limit for tests that hang; on a busy machine a test of sampling takes several seconds.
const testTimeout = 60_000;
export default defineConfig({ test: { include: ["tests/**/*.test.{ts,tsx}"], environment: "node", testTimeout } });
