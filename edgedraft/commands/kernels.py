"""edgedraft kernels: where the library of own kernels is, and which of them this CPU runs."""

import argparse

from edgedraft.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add no options: EDGEDRAFT_KERNELS chooses."""


def note_if_not_built(console: Console) -> None:
    """Say beside a measurement that it ran without own kernels because there are none."""
    from edgedraft.runtime.native.library import library_path

    if library_path() is None:
        console.note("own kernels were not built when edgedraft was installed: measuring those of onnxruntime")


def run(options: argparse.Namespace, console: Console) -> None:
    """Show the library and its kernels."""
    from edgedraft.runtime.native.library import STOCK, kernel_state

    state = kernel_state()
    if state.library is None:
        console.say("Own kernels were not built when edgedraft was installed: no C++ compiler was found, or it failed.")
        console.say("Sessions use those of onnxruntime. Install a compiler, then edgedraft again.")
    else:
        console.say(f"library: {state.library}")
        rows = [(name, "yes" if runs_here else "no") for name, runs_here in state.kernels.items()]
        console.table(("kernels", "run on this CPU"), rows)
        console.say(f"sessions on the CPU use: {state.chosen} (EDGEDRAFT_KERNELS=stock or a name above changes it)")
        console.say(f"int4 and int8 can be exact: {'no' if state.chosen == STOCK else 'yes'}")
    console.result(state)
