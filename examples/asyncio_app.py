"""Stream several answers inside an asyncio app without blocking its event loop.

python examples/asyncio_app.py BUNDLE "first prompt" "second prompt"

Decoding keeps the CPU busy, so ``async for`` runs it in threads; the event loop stays free and receives the pieces.
"""

import asyncio
import sys

import edgedraft


async def show(model: edgedraft.Engine, prompt: str) -> None:
    """Print a line when an answer begins, and the whole answer when it is complete."""
    text = ""
    async for piece in model.stream(prompt, max_new_tokens=48):  # a task that is cancelled ends the answer
        if not text:
            print(f"{prompt}: begins", flush=True)
        text += piece.text
    print(f"{prompt}: {text!r}", flush=True)


async def run(bundle: str, *prompts: str) -> None:
    """Answer all prompts at once."""
    model = await asyncio.to_thread(edgedraft.load, bundle)
    await asyncio.gather(*(show(model, prompt) for prompt in prompts))


if __name__ == "__main__":
    asyncio.run(run(*sys.argv[1:]))
