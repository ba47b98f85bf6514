"""Worker: onnxruntime-genai; one model folder opened once, with n-gram speculation where a task asks for it."""

import time
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import onnxruntime_genai as og
from worker_protocol import Engine, Task, Timed, serve


def load(config: Mapping[str, Any]) -> Engine:
    """Open the model folder; a draft model in its configuration is used by onnxruntime-genai by itself."""
    model = og.Model(config["folder"])

    def answer(task: Task) -> Timed:
        """The prompt ends with `append_tokens`, which runs it; the first token is then known, and not counted."""
        params = og.GeneratorParams(model)
        params.set_search_options(max_length=len(task.prompt_ids) + task.max_new_tokens, do_sample=False)
        if speculative := task.options.get("speculative"):
            params.set_speculative_options(**speculative)
        started = time.perf_counter()
        generator = og.Generator(model, params)
        generator.append_tokens(task.prompt_ids)
        prompted = time.perf_counter()
        while not generator.is_done():
            generator.generate_next_token()
        ended = time.perf_counter()
        ids = [int(token) for token in generator.get_sequence(0)][len(task.prompt_ids) :]
        counts = generator.get_speculative_stats() if task.options.get("drafts") else {}
        return Timed(
            answer=ids,
            tokens=len(ids),
            timed_tokens=len(ids) - 1,
            prompt_seconds=prompted - started,
            decode_seconds=ended - prompted,
            proposed=counts.get("draft_tokens_proposed"),
            accepted=counts.get("draft_tokens_accepted"),
        )

    return Engine(answer=answer, versions={name: version(name) for name in ("onnxruntime-genai", "onnxruntime")})


if __name__ == "__main__":
    serve(load)
