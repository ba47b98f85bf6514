"""edgedraft serve: a bundle as a server that speaks OpenAI's protocol."""

import argparse
import contextlib
import os
from pathlib import Path

from edgedraft.console import Console

PORT = 8418
_KEY = "EDGEDRAFT_API_KEY"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of serve."""
    from edgedraft.commands._options import add_bundle_arguments, natural, positive

    add_bundle_arguments(parser, longest_context=True)
    parser.add_argument("--host", default="127.0.0.1", metavar="H", help="address to listen on (default: this machine)")
    parser.add_argument("--port", type=int, default=PORT, metavar="N", help=f"0: any free one (default: {PORT})")
    text = "answers that are decoded at a time, each in a slot of its own (default: %(default)s)"
    parser.add_argument("--parallel", type=positive, default=4, metavar="N", help=text)
    text = "requests that may wait; one more gets status 429 (default: %(default)s)"
    parser.add_argument("--queue", type=natural, default=32, metavar="N", help=text)
    text = f"a key that clients must send (default: that of {_KEY}, or none)"
    text = "decode answers in turns, even where one pass for all of them is faster"
    parser.add_argument("--no-batching", action="store_true", help=text)
    parser.add_argument("--api-key", metavar="KEY", help=text)
    text = "let pages of ORIGIN use the server, * those of every site; repeatable"
    parser.add_argument("--cors-origin", action="append", default=[], metavar="ORIGIN", help=text)
    parser.add_argument("--model-name", metavar="NAME", help="the model's name (default: the bundle's folder)")


def run(options: argparse.Namespace, console: Console) -> None:
    """Serve until Ctrl-C."""
    from edgedraft.commands._options import open_engine
    from edgedraft.runtime.base.errors import naming_missing_extra
    from edgedraft.runtime.base.records import require
    from edgedraft.runtime.serving.listening import is_loopback, listen
    from edgedraft.runtime.serving.openai.app import ServeOptions
    from edgedraft.runtime.serving.openai.server import OpenAIServer, require_libraries

    require_libraries()  # before the bundle is opened, which may take a while
    key = os.environ.get(_KEY) if options.api_key is None else options.api_key
    require(key is None or bool(key.strip()), "--api-key: expected a key that is not empty", got=repr(key))
    local = is_loopback(options.host)
    serving = ServeOptions(
        model=options.model_name or Path(options.bundle).resolve().name,
        parallel=options.parallel,
        queue=options.queue,
        api_key=key,
        cors_origins=tuple(options.cors_origin),
        local_only=local,
        joint=not options.no_batching,
    )
    with naming_missing_extra("serve"), listen(options.port, host=options.host) as listener:
        engine = open_engine(options, console)
        server = OpenAIServer(engine, listener, serving, longest_context=options.context_length is None)
        host, port = server.address
        address = f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"
        tell = console.note if console.as_json else console.say
        tell(f"Serving {serving.model} at {address}")
        slots = f"{serving.parallel} slots of {engine.settings.context_length} tokens, {serving.queue} places to wait"
        tell(f"{slots}; texts are {engine.exactness.label}. Ctrl-C ends it.")
        if serving.parallel > 1:
            tell(f"Several answers {'share passes' if server.shares_passes else 'take turns, pass by pass'}.")
        if not local and key is None:
            console.note("Whoever reaches this address can use the model: --api-key asks for a key.")
        with contextlib.suppress(KeyboardInterrupt):
            server.run()
    console.result(server.summary())
