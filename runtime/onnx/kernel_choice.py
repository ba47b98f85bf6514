"""Choose the kernels of a session: ours where they are built and the graph allows them, else onnxruntime's own."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.kernel_names import NOT_RECORDED
from edgedraft.runtime.base.provider_names import CPU
from edgedraft.runtime.native.library import AUTO, STOCK, KernelLibrary, forced, own_kernels
from edgedraft.runtime.onnx.attention_nodes import why_stock_attention
from edgedraft.runtime.onnx.block_products import why_stock


@dataclass(frozen=True, kw_only=True, slots=True)
class KernelChoice:
    """Kernels of a session by their name, the library to register for them, and why it is none of ours.

    ``attention`` says whether the library computes attention, too.
    """

    name: str
    library: Path | None = None
    reason: str | None = None
    attention: bool = False

    @property
    def independent_rows(self) -> bool:
        """Return whether every row's bits are independent of the rows beside it, in passes of any size."""
        return self.library is not None and self.attention


NONE_FASTER = "no own kernel was measured to be faster on such a CPU, or EDGEDRAFT_KERNELS says so"
NOT_BUILT = "own kernels were not built when edgedraft was installed"


@contextmanager
def chosen_kernels(path: Path, provider: str, setting: str) -> Iterator[KernelChoice]:
    """Choose kernels for a session on the graph in ``path``, which the block opens on this thread.

    ``setting`` is "auto", "stock" or a kernel's name. Raises `EdgedraftError` when a kernel that was asked for by name
    cannot be had.
    """
    library = own_kernels()
    reason = "asked for" if setting == STOCK else "only a CPU runs own kernels" if provider != CPU else None
    if library is None or reason is not None:
        yield _stock(setting, reason or NOT_BUILT)
        return
    library.prefer("" if setting == AUTO else setting)
    try:
        choice = _choice(library, path, setting)
        library.prefer("" if setting == AUTO else setting, attention=choice.attention)
        yield choice
    finally:
        library.prefer("")


def session_kernels(path: Path, provider: str, setting: str) -> str:
    """Return the name of the kernels that a session on the graph in ``path`` would take, without opening it."""
    with chosen_kernels(path, provider, setting) as choice:
        return choice.name


def kernels_to_time(path: Path, provider: str, setting: str) -> tuple[str, ...]:
    """Return the kernels to time for a plan: those that the session uses, or all that must be compared."""
    default, library = session_kernels(path, provider, setting), own_kernels()
    undecided = library.undecided() if library is not None and setting == AUTO and provider == CPU else ()
    return undecided if undecided and why_stock(path) is None else (default,)


def planned_setting(path: Path, provider: str, planned: str) -> str:
    """Return the setting for a session: ``planned`` if those kernels can run here, else "auto".

    It is also "auto" if EDGEDRAFT_KERNELS is set, which takes precedence, or if the plan did not record its kernels.
    """
    return AUTO if forced() or planned == NOT_RECORDED else setting_or_auto(path, provider, planned)


def setting_or_auto(path: Path, provider: str, setting: str) -> str:
    """Return ``setting`` if those kernels can compute the graph here, else "auto"."""
    try:
        return AUTO if setting == AUTO else session_kernels(path, provider, setting)
    except EdgedraftError:
        return AUTO


def _choice(library: KernelLibrary, path: Path, setting: str) -> KernelChoice:
    name = library.default() if setting == AUTO else library.chosen()
    if name == STOCK:
        return KernelChoice(name=STOCK, reason=NONE_FASTER)
    try:
        reason = why_stock(path, forced=setting != AUTO)
    except (OSError, EdgedraftError):
        reason = "the graph cannot be read"  # onnxruntime will say so when it opens the session
    if reason:
        return _stock(setting, reason)
    return KernelChoice(name=name, library=library.path, attention=why_stock_attention(path) is None)


def _stock(setting: str, reason: str) -> KernelChoice:
    if setting not in (AUTO, STOCK):
        raise EdgedraftError(f"kernels {setting} cannot be used: {reason}", remedy="leave the choice to auto")
    return KernelChoice(name=STOCK, reason=reason)
