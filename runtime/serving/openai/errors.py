"""Errors of the protocol: a status, and a body in OpenAI's form."""

from typing import Any

from edgedraft.runtime.base.errors import EdgedraftError

_LONGEST_MESSAGE = 1000
_BUSY = 429


class ApiError(EdgedraftError):
    """An error that a client gets: ``status`` of HTTP, the name of the wrong field, and a code to compare with."""

    def __init__(
        self,
        rule: str,
        *,
        got: object = None,
        remedy: str | None = None,
        status: int = 400,
        param: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(rule, got=got, remedy=remedy)
        self.status, self.param, self.code = status, param, code


def as_api_error(error: EdgedraftError, param: str | None = None) -> ApiError:
    """Return an error of the library as one that a client gets."""
    if isinstance(error, ApiError):
        return error
    return ApiError(error.rule, got=error.got, remedy=error.remedy, param=param)


def error_body(error: ApiError) -> dict[str, Any]:
    """Return the body that says what was wrong."""
    kind = "invalid_request_error" if error.status < 500 else "server_error"
    message = " ".join(str(error).split())[:_LONGEST_MESSAGE]
    kind = "rate_limit_error" if error.status == _BUSY else kind
    return {"error": {"message": message, "type": kind, "param": error.param, "code": error.code}}
