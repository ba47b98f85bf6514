"""Worker: transformers `generate`, alone or with an assistant model, on weights unpacked from GGUF files once."""

import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, GgufConfig, PreTrainedModel
from transformers.generation.streamers import BaseStreamer
from worker_protocol import Engine, Task, Timed, serve


class Blocks(BaseStreamer):
    """Notes when each block of tokens came out, and how many it held; the prompt comes first and is skipped."""

    def __init__(self) -> None:
        self.counts: list[int] = []
        self.times: list[float] = []
        self._prompt_seen = False

    def put(self, value: torch.Tensor) -> None:
        """One block of tokens."""
        if not self._prompt_seen:
            self._prompt_seen = True
            return
        self.counts.append(int(value.numel()))
        self.times.append(time.perf_counter())

    def end(self) -> None:
        """Nothing is held back."""


def unpacked(gguf: Path, folder: Path, dtype: torch.dtype) -> PreTrainedModel:
    """The model of ``gguf`` with dense weights, kept in ``folder`` from the first time on."""
    if not (folder / "config.json").is_file():
        model = AutoModelForCausalLM.from_pretrained(
            gguf.parent, gguf_file=gguf.name, quantization_config=GgufConfig(dequantize=True), dtype=dtype
        )
        temporary = folder.with_name(f"{folder.name}.part")
        model.save_pretrained(temporary)
        del model
        temporary.rename(folder)
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()


def load(config: Mapping[str, Any]) -> Engine:
    """Unpack if need be, and load both models."""
    torch.set_num_threads(config["threads"])
    dtype = getattr(torch, config["dtype"])
    work = Path(config["work"])
    work.mkdir(parents=True, exist_ok=True)
    paths = {role: Path(config[role]) for role in ("target", "drafter")}
    target, drafter = (unpacked(gguf, work / f"{gguf.stem}-{config['dtype']}", dtype) for gguf in paths.values())

    def answer(task: Task) -> Timed:
        """Everything up to the first block of tokens is the prompt's; an assistant's first block holds several."""
        blocks = Blocks()
        prompt = torch.tensor([task.prompt_ids])
        extra = {"assistant_model": drafter} if task.options.get("assistant") else {}
        started = time.perf_counter()
        with torch.inference_mode():
            output = target.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                do_sample=False,
                repetition_penalty=1.0,
                max_new_tokens=task.max_new_tokens,
                eos_token_id=task.end_token_ids,
                pad_token_id=task.end_token_ids[0],
                streamer=blocks,
                **extra,
            )
        ids = output[0, len(task.prompt_ids) :].tolist()
        return Timed(
            answer=ids,
            tokens=len(ids),
            timed_tokens=len(ids) - blocks.counts[0],
            prompt_seconds=blocks.times[0] - started,
            decode_seconds=blocks.times[-1] - blocks.times[0],
        )

    names = ("transformers", "torch")
    return Engine(answer=answer, versions={name: version(name) for name in names}, weights=config["dtype"])


if __name__ == "__main__":
    serve(load)
