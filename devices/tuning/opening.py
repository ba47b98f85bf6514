"""Open a bundle by the plan that was made here, and say so where there is none for this machine."""

from dataclasses import replace

from edgedraft.devices.machine import this_machine
from edgedraft.devices.tuning.kept import Tuning, kept_tuning
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.bundle.reading import Bundle
from edgedraft.runtime.engine import BundleChange, Engine, unchanged


def tuned_for(target_provider: str, drafter_provider: str, *, tuned: bool = True) -> BundleChange:
    """Return what gives a bundle its tuned plan on these providers; nothing where ``tuned`` is false."""
    if not tuned or target_provider != drafter_provider:
        return unchanged

    def change(bundle: Bundle) -> Bundle:
        try:
            tuning = kept_tuning(bundle.path, target_provider)
        except EdgedraftError:
            return bundle  # the manifest went away: the bundle's own files will be missed next
        return bundle if tuning is None or not _fits(tuning, bundle) else with_tuning(bundle, tuning)

    return change


def with_tuning(bundle: Bundle, tuning: Tuning) -> Bundle:
    """Return ``bundle`` with the plan of ``tuning``, for the provider that it was made on."""
    return replace(bundle, manifest=replace(bundle.manifest, plan=tuning.plan, provider=tuning.key.provider))


def _fits(tuning: Tuning, bundle: Bundle) -> bool:
    return tuning.plan.draft_vocab_size == bundle.manifest.plan.draft_vocab_size


def untuned_remark(engine: Engine) -> str | None:
    """Return one line where a bundle runs by a plan for another machine; None where the plan is for this one."""
    planned, here = engine.bundle.manifest.plan.device, this_machine().name
    if planned == here:
        return None
    path = engine.bundle.path
    return f"planned for {planned}, this is {here} - edgedraft tune {path} chooses for this machine"
