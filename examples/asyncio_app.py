"""Stream several answers inside an asyncio app without blocking its event loop.

python examples/asyncio_app.py BUNDLE "first prompt" "second prompt"

Decoding keeps the CPU busy, so it runs in threads; the event loop stays free and receives the pieces of text.
"""

import asyncio
import sys
from collections.abc import AsyncIterator

import edgedraft


async def stream(model: edgedraft.Engine, prompt: str) -> AsyncIterator[str]:
    """Yield the text of an answer while other tasks run; leaving the loop early cancels the decoding."""
    pieces = model.stream(prompt, max_new_tokens=48)
    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
        yield piece.text


async def show(model: edgedraft.Engine, prompt: str) -> None:
    """Print a line when an answer begins, and the whole answer when it is complete."""
    text = ""
    async for piece in stream(model, prompt):
        if not text:
            print(f"{prompt}: begins", flush=True)
        text += piece
    print(f"{prompt}: {text!r}", flush=True)


async def run(bundle: str, *prompts: str) -> None:
    """Answer all prompts at once."""
    model = await asyncio.to_thread(edgedraft.load, bundle)
    await asyncio.gather(*(show(model, prompt) for prompt in prompts))


if __name__ == "__main__":
    asyncio.run(run(*sys.argv[1:]))
