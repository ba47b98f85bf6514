"""Binding: the arrays that a pass reads and writes, bound by address."""

from typing import Protocol

import numpy.typing as npt


class Binding(Protocol):
    """Arrays bound by address to a graph's inputs and outputs.

    An address does not keep its array alive: whoever binds an array holds it until the pass has run.
    """

    def bind_input(
        self, name: str, device_type: str, device_id: int, element_type: npt.DTypeLike, shape: object, buffer_ptr: int
    ) -> None:
        """Have the graph read ``name`` from ``buffer_ptr``."""
        ...

    def bind_output(
        self, name: str, device_type: str, device_id: int, element_type: npt.DTypeLike, shape: object, buffer_ptr: int
    ) -> None:
        """Have the graph write ``name`` to ``buffer_ptr``."""
        ...
