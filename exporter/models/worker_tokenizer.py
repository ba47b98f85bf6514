"""Child process that writes a folder's tokenizer as tokenizer.json; only this process imports transformers.

Usage: python -m edgedraft.exporter.models.worker_tokenizer MODEL_FOLDER OUTPUT_FOLDER
"""

import sys
from pathlib import Path


def convert_tokenizer(folder: Path, output: Path) -> None:
    """Load the tokenizer in ``folder``, in any format, and save it."""
    from transformers import AutoTokenizer

    AutoTokenizer.from_pretrained(folder).save_pretrained(output)


if __name__ == "__main__":
    convert_tokenizer(Path(sys.argv[1]), Path(sys.argv[2]))
