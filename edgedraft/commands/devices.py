"""edgedraft devices: what this machine is."""

import argparse

from edgedraft.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of devices."""
    parser.add_argument("action", choices=("show",))


def run(options: argparse.Namespace, console: Console) -> None:
    """Describe this machine."""
    from edgedraft.devices.machine import this_machine

    machine = this_machine()
    console.say(machine.name)
    console.result(machine)
