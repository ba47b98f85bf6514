"""Options that the parts of vocab share, and what they become."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgedraft.console import Console

if TYPE_CHECKING:
    from edgedraft.exporter.models.tokenization import Tokenization
    from edgedraft.exporter.vocab.vocab_map import VocabMap


def add_map_arguments(parser: argparse.ArgumentParser) -> None:
    """The map's file, and what the user knows about it."""
    from edgedraft.commands._options import positive
    from edgedraft.exporter.vocab.kinds import CONVENTIONS, KINDS

    parser.add_argument("file", type=Path, metavar="FILE", help="a token map; for d2t.npy with t2d.npy also a folder")
    text = f"what the file is, where its numbers fit two readings: {', '.join((*CONVENTIONS, *KINDS))}"
    parser.add_argument("--kind", choices=(*CONVENTIONS, *KINDS), metavar="KIND", help=text)
    text = "how many tokens the target's logits score, where the file does not say it"
    parser.add_argument("--target-vocab-size", type=positive, metavar="V", help=text)
    add_tokenizer_arguments(parser)


def add_tokenizer_arguments(parser: argparse.ArgumentParser) -> None:
    """The target's tokenizer, and the cache it may need."""
    from edgedraft.commands._options import add_cache_argument

    text = "the target's folder or hub id (tokenizer and config.json are enough)"
    parser.add_argument("--tokenizer", metavar="FOLDER", help=text)
    add_cache_argument(parser)


def add_kind_argument(parser: argparse.ArgumentParser) -> None:
    """The kind of file to write."""
    from edgedraft.exporter.vocab.kinds import KINDS, WRITABLE

    text = "; ".join(f"{name}: {KINDS[name].file}" for name in WRITABLE)
    parser.add_argument("--to", required=True, choices=WRITABLE, metavar="KIND", help=text)


def tokens_of(options: argparse.Namespace, console: Console) -> "Tokenization | None":
    """The target's tokens, where its tokenizer was given."""
    from edgedraft.commands._options import cache_of
    from edgedraft.exporter.models.tokenization import tokenizer_of

    return tokenizer_of(options.tokenizer, cache_of(options), console.progress) if options.tokenizer else None


def map_of(options: argparse.Namespace, tokens: "Tokenization | None") -> "VocabMap":
    """The map in the file, read as the user said; what is known of the target decides between readings."""
    from edgedraft.exporter.vocab.reading import DeclaredMap, read_vocab_map

    size = options.target_vocab_size or (tokens.vocab_size if tokens else None)
    return read_vocab_map(options.file, DeclaredMap(kind=options.kind, vocab_size=size))
