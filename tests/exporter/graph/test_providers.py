"""Providers: each is told what it cannot do, and what cannot be held is refused in one line."""

import dataclasses

import pytest

from edgedraft.devices.registry import find_profile
from edgedraft.exporter.graph.precisions import PRECISIONS
from edgedraft.exporter.graph.providers import (
    CPU,
    PROVIDERS,
    cautions,
    check_files,
    check_tensor,
    files_limit,
    provider_named,
)
from edgedraft.runtime.base.errors import EdgedraftError

WEBGPU, WASM = PROVIDERS["webgpu"], PROVIDERS["wasm"]
MIB = 2**20


def refusal(call, *arguments) -> str:
    with pytest.raises(EdgedraftError) as error:
        call(*arguments)
    return str(error.value)


def phone(name: str, *gigabytes: float):
    profile = find_profile(name)
    return dataclasses.replace(profile, memory=dataclasses.replace(profile.memory, gigabytes=gigabytes))


def test_names_are_those_that_users_know():
    assert tuple(PROVIDERS) == ("cpu", "gpu", "webgpu", "wasm", "cuda", "coreml", "qnn")
    assert all(provider_named(name).name == name for name in PROVIDERS)
    assert refusal(provider_named, "npu") == (
        "provider: expected one of cpu, gpu, webgpu, wasm, cuda, coreml, qnn, got npu"
    )


def test_wasm_is_a_cpu_and_all_others_stand_for_the_gpu():
    assert [name for name, each in PROVIDERS.items() if each.kind == CPU] == ["cpu", "wasm"]


def test_browsers_multiply_exactly_and_others_as_packed():
    assert {name: each.accuracy_level for name, each in PROVIDERS.items() if each.accuracy_level} == {
        "webgpu": 1,
        "wasm": 1,
    }


@pytest.mark.parametrize("name", PROVIDERS)
def test_every_precision_named_in_a_record_exists(name):
    assert {*PROVIDERS[name].cautions, *PROVIDERS[name].refused} <= {"", *PRECISIONS}


def test_the_cpu_has_nothing_to_tell():
    assert cautions(PROVIDERS["cpu"], {"target": PRECISIONS, "drafter": PRECISIONS}) == ()


def test_what_a_provider_runs_badly_is_told_once_by_role():
    assert cautions(WASM, {"target": ["fp32"], "drafter": ["int4", "int4", "int8-dynamic"]}) == (
        "drafter int4: wasm has no kernel for packed blocks: a step takes about ten times that of fp32; "
        "int8-dynamic is faster.",
    )
    told = cautions(PROVIDERS["qnn"], {"target": ["int4"], "drafter": ["int4"]})
    assert told == (
        "qnn takes graphs of fixed shapes with quantized activations: most of these graphs stays on the CPU.",
    )


def test_a_target_that_webgpu_would_hand_to_the_cpu_is_refused_and_a_drafter_told():
    assert refusal(cautions, WEBGPU, {"target": ["int4", "int8-dynamic"]}) == (
        "target precision int8-dynamic: webgpu has no kernel for DynamicQuantizeMatMul, and every product would go to "
        "the CPU and back - choose int4, int8 or fp32"
    )
    assert cautions(WEBGPU, {"target": ["int4"], "drafter": ["int8-dynamic"]}) == (
        "drafter int8-dynamic: webgpu has no kernel for DynamicQuantizeMatMul, and every product would go to "
        "the CPU and back; run the drafter on wasm.",
    )


def test_a_weight_of_exactly_the_limit_is_the_last_that_passes():
    check_tensor(WEBGPU, "target: head", 128 * MIB)
    assert refusal(check_tensor, WEBGPU, "target: head", 128 * MIB + 1) == (
        "target: head: webgpu binds at most 128 MiB as one tensor, got 128.0 MiB - "
        "choose a precision of fewer bits, a model with fewer tokens or another provider"
    )
    check_tensor(PROVIDERS["cpu"], "target: head", 10**12)


def test_the_real_pairs_head_fits_in_four_bits_and_not_in_eight():
    vocab, hidden = 151_936, 1536
    check_tensor(WEBGPU, "head", vocab * hidden // 2)
    assert "got 222.6 MiB" in refusal(check_tensor, WEBGPU, "head", vocab * hidden)


def test_loading_takes_more_than_the_files():
    assert WEBGPU.peak_bytes(10**9) == 2_100_000_000
    assert WASM.peak_bytes(10**9) == 2_700_000_000
    assert PROVIDERS["cuda"].peak_bytes(10**9) is None


def test_a_page_may_load_what_phones_of_its_kind_bear():
    assert files_limit(WEBGPU, phone("apple-a17-pro", 8.0)) == 500_000_000
    assert files_limit(WEBGPU, phone("sd-8-gen-3", 8.0, 12.0)) == 10**9
    assert files_limit(WEBGPU, phone("sd-8-gen-3", 4.0)) == int(1.7e9 / 1.8)
    assert files_limit(WASM, phone("sd-8-gen-3", 4.0)) == int(1.7e9 / 2.4)
    assert files_limit(WASM, phone("sd-8-gen-3")) == 10**9
    assert files_limit(WEBGPU, phone("apple-m2", 8.0)) == int(3.7e9 / 1.8)
    assert files_limit(WEBGPU, phone("apple-m2")) is None
    assert files_limit(PROVIDERS["cpu"], phone("apple-a17-pro", 8.0)) is None


def test_a_pair_too_large_for_a_phone_is_refused():
    iphone = find_profile("apple-a17-pro")
    check_files(WEBGPU, iphone, 500_000_000)
    check_files(PROVIDERS["cpu"], iphone, 10**12)
    assert refusal(check_files, WEBGPU, iphone, 1_000_000_000) == (
        "iPhone 15 Pro: a page there should load at most 500 MB of models with webgpu, "
        "got 1000 MB, 2.1 GB while they load - choose a precision of fewer bits, smaller models or another device"
    )
