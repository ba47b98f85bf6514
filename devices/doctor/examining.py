"""Examine everything."""

from edgedraft.devices.doctor.advice import problems_of
from edgedraft.devices.doctor.facts import Examination
from edgedraft.devices.doctor.packages import examined_packages
from edgedraft.devices.doctor.resources import examined_resources
from edgedraft.devices.doctor.trying import tried_providers
from edgedraft.runtime.native.library import kernel_state


def examine() -> Examination:
    """Examine this installation; takes a second or two for each provider."""
    packages, providers = examined_packages(), tried_providers()
    kernels, resources = kernel_state(), examined_resources()
    return Examination(
        packages=packages,
        providers=providers,
        kernels=kernels,
        resources=resources,
        problems=problems_of(packages, providers, kernels, resources),
    )
