"""Child process that unpacks a GGUF file into a Hugging Face folder; its memory is freed when it ends.

Usage: python -m edgedraft.exporter.graph.worker_unpack GGUF_FILE OUTPUT_FOLDER DTYPE
"""

import sys
from pathlib import Path

from edgedraft.exporter.graph.whole_weights import whole_weights


def unpack(gguf: Path, output: Path, dtype: str) -> None:
    """Load ``gguf`` through transformers with every weight dense, and save model and tokenizer."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    with whole_weights():
        model = AutoModelForCausalLM.from_pretrained(
            gguf.parent,
            gguf_file=gguf.name,
            quantization_config=GgufConfig(dequantize=True),
            dtype=dtype,
        )
    model.save_pretrained(output)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(output)


if __name__ == "__main__":
    unpack(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
