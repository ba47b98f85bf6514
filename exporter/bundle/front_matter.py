"""The card's metadata: base models, licence, task and tags, as model hubs read them above a README."""

import re

from edgedraft.runtime.bundle.manifest import BundleManifest

_TAGS = ["speculative-decoding", "vocabulary-trimming", "onnx", "onnxruntime-genai", "edge"]
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_FLOAT = "fp32"
_UNKNOWN = "unknown"

# The names that the hub knows; any other licence is "other" with a name of its own.
_KNOWN = """
afl-3.0 agpl-3.0 apache-2.0 apple-amlr apple-ascl artistic-2.0 bigcode-openrail-m bigscience-bloom-rail-1.0
bigscience-openrail-m bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5 cc-by-3.0
cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0
cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0 cdla-permissive-2.0
cdla-sharing-1.0 creativeml-openrail-m ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 gemma gfdl gpl gpl-2.0 gpl-3.0 isc
lgpl lgpl-2.1 lgpl-3.0 lgpl-lr llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 lppl-1.3c mit mpl-2.0 ms-pl ncsa odbl
odc-by ofl-1.1 openrail openrail++ osl-3.0 pddl postgresql unknown unlicense wtfpl zlib
"""
_LICENSES = frozenset(_KNOWN.split())


def front_matter(manifest: BundleManifest) -> str:
    """Return the YAML between the card's first two rules; facts that are not known are left out."""
    from huggingface_hub import ModelCardData

    target, drafter = manifest.target, manifest.drafter
    bases = [name for name in dict.fromkeys((target.base_model, drafter.base_model)) if _HUB_ID.fullmatch(name)]
    packed = {target.precision, drafter.precision} != {_FLOAT}
    license_, license_name = _license(target.license, drafter.license)
    return ModelCardData(
        base_model=bases or None,
        base_model_relation="quantized" if bases and packed else None,
        license=license_,
        license_name=license_name,
        library_name="edgedraft",
        pipeline_tag="text-generation",
        tags=_TAGS,
    ).to_yaml()


def _license(of_target: str, of_drafter: str) -> tuple[str | None, str | None]:
    """Return the hub's licence and, where that is "other" (two that differ, or one unknown to it), its name."""
    names = list(dict.fromkeys(_identifier(name) for name in (of_target, of_drafter)))
    if len(names) == 1 and names[0] in _LICENSES:
        return (None if names[0] == _UNKNOWN else names[0]), None
    return "other", "-and-".join(names)


def _identifier(name: str) -> str:
    """Return a licence's name as hubs write it: ``Apache-2.0`` is ``apache-2.0``."""
    return re.sub(r"[^a-z0-9.+]+", "-", name.lower()).strip("-") or _UNKNOWN
