/** Owns a plausible manifest and session, as parsed JSON, that tests change. */

const MODEL = {
  name: "tiny",
  base_model: "tiny",
  license: "apache-2.0",
  precision: "int4",
  parameters: 100,
  weight_bytes: 50,
  conversion: "abc",
  largest_tensor_bytes: 40,
  half: false,
  operators: ["MatMulNBits"],
};

const PLAN = {
  draft_vocab_size: 4,
  draft_length: 3,
  target_precision: "int4",
  drafter_precision: "int4",
  threads: 2,
  predicted_tokens_per_second: 20,
  predicted_plain_tokens_per_second: 15,
  predicted_block_efficiency: 2.5,
  predicted_acceptance_rate: 0.7,
  target_pass_seconds: [0.05, 0.06],
  drafter_pass_seconds: [0.01],
  speculate: true,
  reason: "speculate: it pays",
  device: "a phone",
  speed_up_low: 1.1,
  speed_up_high: 1.5,
  chance_to_pay: 0.95,
};

const FILES = ["target/model.onnx", "target/model.onnx.data", "drafter/model.onnx", "drafter/model.onnx.data", "drafter/index_map.safetensors", "tokenizer.json"];

/** A manifest; `changes` replace keys at its top. */
export function plainManifest(changes: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    schema_version: 5,
    target: { ...MODEL, graph: "target/model.onnx", data: ["target/model.onnx.data"] },
    drafter: { ...MODEL, graph: "drafter/model.onnx", data: ["drafter/model.onnx.data"] },
    index_map: "drafter/index_map.safetensors",
    target_vocab_size: 8,
    context_length: 64,
    end_token_ids: [1],
    tokenizer_fingerprint: "print",
    calibration: { prompts: "mine", ranking_prompts: 1, scoring_prompts: 1, ranking_tokens: 1, scoring_tokens: 1, coverage: 0.5, coverage_low: 0.4, coverage_high: 0.6 },
    plan: PLAN,
    files: Object.fromEntries(FILES.map((name) => [name, { bytes: 1, sha256: "00" }])),
    ...changes,
  };
}

/** A plan; `changes` replace its keys. */
export function plainPlan(changes: Record<string, unknown> = {}): Record<string, unknown> {
  return { ...PLAN, ...changes };
}
