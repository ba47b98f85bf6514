"""Names of the kernels that ran when passes were timed, as records store them."""

import re
from dataclasses import dataclass

from edgedraft.runtime.base.records import require

NOT_RECORDED = ""
"""The name in files that were written before kernels were recorded, and where passes were predicted, not timed."""

_NAME = re.compile("[a-z0-9_-]{0,32}")


def require_kernel_name(name: str, key: str) -> None:
    """Raise `EdgedraftError`, beginning with ``key``, for a text that cannot be a kernel's name."""
    known = _NAME.fullmatch(name) is not None
    require(known, f"{key}: expected a kernel's name, or nothing where it was not recorded", got=repr(name))


def shown_kernels(name: str) -> str:
    """Return the name as messages show it."""
    return f"{name} kernels" if name else "kernels that were not recorded"


@dataclass(frozen=True, kw_only=True, slots=True)
class PairKernels:
    """The names of the kernels that a target and its drafter ran with; see `NOT_RECORDED`."""

    target: str = NOT_RECORDED
    drafter: str = NOT_RECORDED

    def __post_init__(self) -> None:
        require_kernel_name(self.target, "kernels: target")
        require_kernel_name(self.drafter, "kernels: drafter")

    def __str__(self) -> str:
        if self.target == self.drafter:
            return shown_kernels(self.target)
        return f"{shown_kernels(self.target)} for the target and {shown_kernels(self.drafter)} for the drafter"


UNRECORDED = PairKernels()
"""The kernels of older files, and of passes that were predicted, not timed."""
