"""Turn a request into the token ids of its prompt, and refuse prompts that do not fit."""

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.engine import Engine
from edgedraft.runtime.serving.openai.errors import ApiError, as_api_error
from edgedraft.runtime.serving.openai.requests import AnswerRequest


def prompt_ids_of(engine: Engine, request: AnswerRequest) -> list[int]:
    """Return the tokens of the prompt; raise `ApiError` for a prompt, tools or a bias that the model cannot take."""
    param = "messages" if request.is_chat else "prompt"
    try:
        ids = _encoded(engine, request)
    except EdgedraftError as error:
        raise as_api_error(error, "tools" if "of tools" in str(error) else param) from error
    vocab_size, context = engine.bundle.manifest.target_vocab_size, engine.settings.context_length
    _require_ids("prompt", ids, vocab_size)
    bias = request.options.sampling.logit_bias if request.options.sampling else {}
    _require_ids("logit_bias", [*bias], vocab_size)
    if not ids:
        raise ApiError(f"{param}: holds no token", param=param)
    if len(ids) >= context:
        rule = f"{param}: the prompt must be shorter than the context of {context} tokens"
        remedy = "shorten it, or start the server with a larger --context-length"
        raise ApiError(rule, got=len(ids), remedy=remedy, param=param, code="context_length_exceeded")
    return ids


def _encoded(engine: Engine, request: AnswerRequest) -> list[int]:
    if request.prompt is None:
        return engine.codec.encode_chat(request.messages, request.tools)
    if isinstance(request.prompt, str):
        return engine.codec.encode_prompt(request.prompt)
    return list(request.prompt)


def _require_ids(param: str, ids: list[int], vocab_size: int) -> None:
    wrong = next((token_id for token_id in ids if not 0 <= token_id < vocab_size), None)
    if wrong is not None:
        raise ApiError(f"{param}: token ids must lie in 0..{vocab_size - 1}", got=wrong, param=param)
