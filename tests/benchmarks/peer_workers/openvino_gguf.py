"""Worker: OpenVINO GenAI on the target's GGUF file, which it reads directly."""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import openvino_genai
from worker_protocol import Engine, Task, Timed, serve


def load(config: Mapping[str, Any]) -> Engine:
    """Open the GGUF file on the CPU."""
    path = Path(config["target"])
    pipeline = openvino_genai.LLMPipeline(str(path), "CPU", INFERENCE_NUM_THREADS=config["threads"])

    def answer(task: Task) -> Timed:
        """Answer by the engine's own clock: the time to the first token, and the rest."""
        settings = openvino_genai.GenerationConfig()
        settings.max_new_tokens, settings.do_sample = task.max_new_tokens, False
        settings.stop_token_ids = set(task.end_token_ids)
        result = pipeline.generate(openvino.Tensor(np.array([task.prompt_ids], dtype=np.int64)), settings)
        ids, metrics = [int(token) for token in result.tokens[0]], result.perf_metrics
        first, whole = metrics.get_ttft().mean / 1e3, metrics.get_generate_duration().mean / 1e3
        return Timed(
            answer=ids,
            tokens=len(ids),
            timed_tokens=len(ids) - 1,
            prompt_seconds=first,
            decode_seconds=whole - first,
        )

    versions = {name: version(name) for name in ("openvino-genai", "openvino")}
    return Engine(answer=answer, versions=versions, weights=f"{path.name}, as OpenVINO converts it")


if __name__ == "__main__":
    serve(load)
