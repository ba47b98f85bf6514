"""Stream an answer and show what speculation did: accepted drafts in capitals, then counts and speed.

python examples/stream.py BUNDLE "Reverse a linked list in Python."
"""

import sys

import edgedraft


def main(bundle: str, prompt: str) -> None:
    """Print the answer as it is generated, then its statistics."""
    model = edgedraft.load(bundle)
    for piece in model.stream(prompt, max_new_tokens=48):
        print(piece.text.upper() if piece.drafted else piece.text, end="", flush=True)
        if piece.usage is not None:  # only the last piece has it
            usage = piece.usage
            print(f"\n[{piece.finish_reason}: {usage.completion_tokens} tokens in {usage.seconds:.2f} s]")
            print(f"[{usage.accepted_tokens} of {usage.drafted_tokens} drafted tokens accepted]")
            print(f"[{usage.tokens_per_second:.1f} tokens/s after the first token]")


if __name__ == "__main__":
    main(*sys.argv[1:])
