"""Every shipped device tells its sources, and the names people type find one device or are refused with the nearest."""

import dataclasses
import importlib.resources
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedraft.devices.profile import CERTAINTIES, KINDS, PEAK_TOLERANCE, DeviceProfile
from edgedraft.devices.profile_file import write_profile
from edgedraft.devices.registry import find_profile, known_profiles, shipped_profiles
from edgedraft.runtime.base.errors import EdgedraftError

PROFILES = shipped_profiles()
BY_ID = {profile.id: profile for profile in PROFILES}
every_profile = pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.id)


def refusal(name: str, own=None) -> str:
    with pytest.raises(EdgedraftError) as error:
        find_profile(name, own)
    assert "\n" not in str(error.value)
    return str(error.value)


def plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))


def figures(profile: DeviceProfile):
    band = profile.bandwidth
    told = (band.peak, band.cpu, band.gpu, profile.cache, profile.cpu, profile.gpu)
    return [figure for figure in told if figure is not None]


def test_laptops_boards_and_phones_ship():
    kinds = Counter(profile.kind for profile in PROFILES)
    assert len(PROFILES) >= 50
    assert set(kinds) == set(KINDS)
    assert min(kinds.values()) >= 5


def test_ids_are_file_names_and_differ():
    folder = importlib.resources.files("edgedraft.devices") / "profiles"
    assert sorted(f"{profile.id}.toml" for profile in PROFILES) == sorted(file.name for file in folder.iterdir())


@every_profile
def test_every_figure_says_how_sure_it_is_and_who_says_so(profile):
    assert all(figure.source.strip() and figure.certainty in CERTAINTIES for figure in figures(profile))


@every_profile
def test_peaks_agree_with_data_rate_and_bus_width(profile):
    derived = profile.memory.derived_gigabytes_per_second
    assert derived is not None
    assert profile.bandwidth.peak.gigabytes_per_second == pytest.approx(derived, rel=PEAK_TOLERANCE)


@every_profile
def test_a_device_answers_to_its_id_name_and_aliases(profile):
    assert find_profile(profile.id) is profile
    for name in (profile.name, *profile.aliases):
        assert find_profile(name) is profile
        assert find_profile(name.upper().replace(" ", "-")) is profile


@every_profile
def test_aliases_say_something_new(profile):
    said = {plain(name) for name in (profile.id, profile.name, profile.soc)}
    assert said.isdisjoint(map(plain, profile.aliases))
    assert len(set(map(plain, profile.aliases))) == len(profile.aliases)


def test_no_two_devices_answer_to_one_name():
    own = [(plain(name), profile.id) for profile in PROFILES for name in {profile.name, *profile.aliases}]
    others = [(plain(name), profile.id) for profile in PROFILES for name in (profile.id, profile.soc)]
    assert [
        (name, id_, other) for name, id_ in own for same, other in own + others if name == same and id_ != other
    ] == []


@every_profile
def test_a_chip_finds_its_device_or_names_all_that_have_it(profile):
    sharing = [other for other in PROFILES if other.soc == profile.soc]
    if len(sharing) == 1:
        assert find_profile(profile.soc) is profile
    else:
        text = refusal(profile.soc)
        assert text.startswith(f"--device: {profile.soc!r} could be {len(sharing)} devices - did you mean ")
        assert all(f"({other.id})" in text for other in sharing)


def test_cpu_and_gpu_are_told_apart_where_somebody_measured():
    halo, max_ = BY_ID["amd-strix-halo-395"].bandwidth, BY_ID["apple-m1-max"].bandwidth
    assert (halo.peak.gigabytes_per_second, halo.cpu.gigabytes_per_second) == (256.0, 117.9)
    assert (halo.gpu.gigabytes_per_second, max_.gpu.gigabytes_per_second) == (221.0, 315.7)


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("MacBook Air M2", "apple-m2"),
        ("macbook air m2", "apple-m2"),
        ("M2", "apple-m2"),
        ("m2 macbook air", "apple-m2"),
        ("Apple M1", "apple-m1"),
        ("MacBook Pro M1 Pro", "apple-m1-pro"),
        ("m1max", "apple-m1-max"),
        ("MacBook Pro M3 Pro", "apple-m3-pro"),
        ("Mac mini M4", "apple-m4"),
        ("m4-pro", "apple-m4-pro"),
        ("MacBook Pro (M4 Max, 40-core GPU)", "apple-m4-max"),
        ("M5", "apple-m5"),
        ("155H", "intel-mtl-155h"),
        ("Intel Core Ultra 7 258V", "intel-lnl-258v"),
        ("Lunar Lake", "intel-lnl-258v"),
        ("i7-1165G7", "intel-tgl-1165g7"),
        ("Surface Book 3", "intel-icl-1065g7"),
        ("ryzen 7 7840u", "amd-phoenix-780m"),
        ("Ryzen AI Max+ 395", "amd-strix-halo-395"),
        ("ryzen ai max 395", "amd-strix-halo-395"),
        ("Strix Halo", "amd-strix-halo-395"),
        ("Snapdragon X Elite", "qcom-x-elite"),
        ("Raspberry Pi 5", "rpi5"),
        ("raspberry-pi-4", "rpi4"),
        ("Jetson Orin Nano Super", "jetson-orin-nano-super"),
        ("AGX Orin", "jetson-agx-orin"),
        ("snapdragon-8-gen-3", "sd-8-gen-3"),
        ("Snapdragon 8 Gen-3", "sd-8-gen-3"),
        ("sd8gen3", "sd-8-gen-3"),
        ("Galaxy S24 Ultra", "sd-8-gen-3"),
        ("Exynos 2400", "exynos-2400"),
        ("galaxy s25", "sd-8-elite"),
        ("OnePlus 15", "sd-8-elite-gen5"),
        ("Dimensity 9400", "dimensity-9400"),
        ("Pixel 9", "tensor-g4"),
        ("pixel 8 pro", "tensor-g3"),
        ("Tensor G5", "tensor-g5"),
        ("iPhone 15 Pro", "apple-a17-pro"),
        ("iphone 15", "apple-a16"),
        ("iPhone 16 Pro Max", "apple-a18-pro"),
        ("Ｐｉｘｅｌ　１０", "tensor-g5"),
    ],
)
def test_names_that_people_type(typed, found):
    assert find_profile(typed).id == found


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (
            "macbok air m2",
            "--device: no device is called 'macbok air m2' - did you mean "
            '"MacBook Air (M2)" (apple-m2), "MacBook Air/Pro 13 (M1)" (apple-m1), "MacBook Air/Pro (M3)" (apple-m3)?',
        ),
        (
            "galaxy s24",
            "--device: 'galaxy s24' could be 2 devices - did you mean "
            '"Galaxy S24 (Exynos, outside the US)" (exynos-2400), '
            '"Galaxy S24 Ultra / OnePlus 12 / Xiaomi 14" (sd-8-gen-3)?',
        ),
        (
            "M3 Max",
            "--device: 'M3 Max' could be 2 devices - did you mean "
            '"MacBook Pro (M3 Max, 40-core GPU)" (apple-m3-max), '
            '"MacBook Pro (M3 Max, 30-core GPU)" (apple-m3-max-30c)?',
        ),
        (
            "surface book",
            "--device: no device is called 'surface book' - did you mean "
            '"Surface Book 3 (i7-1065G7)" (intel-icl-1065g7)?',
        ),
        ("toaster", "--device: no device is called 'toaster' - `edgedraft devices list` names all devices"),
        ("", "--device: no device is called '' - `edgedraft devices list` names all devices"),
        ("\n", "--device: no device is called '\\n' - `edgedraft devices list` names all devices"),
    ],
)
def test_other_names_are_refused_with_the_nearest(typed, message):
    assert refusal(typed) == message


def test_a_name_of_many_devices_shows_a_few_and_says_how_many_more():
    text = refusal("macbook pro")
    assert text.startswith("--device: 'macbook pro' could be 18 devices - did you mean ")
    assert text.endswith(", or one of 12 more: `edgedraft devices list` names all devices")
    assert text.count('" (') == 6


@given(st.text(max_size=30).filter(lambda text: not text.lower().endswith(".toml")))
def test_any_text_finds_a_device_or_is_told_in_one_line(text):
    try:
        found = find_profile(text)
    except EdgedraftError as error:
        told = str(error)
    else:
        told = found.name
        assert found in PROFILES
    assert len(told.splitlines()) == 1


def mine(folder, **changed) -> DeviceProfile:
    profile = dataclasses.replace(BY_ID["rpi5"], **changed)
    write_profile(folder / f"{profile.id}.toml", profile)
    return profile


def test_a_file_is_a_name(tmp_path):
    profile = mine(tmp_path, id="my-board", name="My board")
    assert find_profile(str(tmp_path / "my-board.toml")) == profile
    assert refusal(str(tmp_path / "none.toml")) == f"{tmp_path}/none.toml: no such file"


def test_own_devices_come_first(tmp_path):
    profile = mine(tmp_path, id="my-board", name="My board", aliases=("m2",), soc="")
    assert find_profile("M2", tmp_path) == profile
    assert find_profile("my-board", tmp_path) == profile
    assert find_profile("macbook air m2", tmp_path) is BY_ID["apple-m2"]
    assert known_profiles(tmp_path) == (profile, *PROFILES)
    assert '"My board" (my-board)' in refusal("my bord", tmp_path)


def test_an_own_device_replaces_the_shipped_one_of_its_id(tmp_path):
    profile = mine(tmp_path, name="Overclocked", aliases=())
    assert find_profile("rpi5", tmp_path) == profile
    assert BY_ID["rpi5"] not in known_profiles(tmp_path)
    assert "(rpi4)" in refusal("raspberry pi 5", tmp_path)


def test_own_devices_of_one_name_are_refused(tmp_path):
    for id_ in ("one", "two"):
        mine(tmp_path, id=id_, name=f"Board {id_}", aliases=("board",))
    message = '--device: \'Board\' could be 2 devices - did you mean "Board one" (one), "Board two" (two)?'
    assert refusal("Board", tmp_path) == message


def test_a_broken_own_file_is_told(tmp_path):
    (tmp_path / "bad.toml").write_text("id = 3")
    assert refusal("rpi5", tmp_path) == f"{tmp_path}/bad.toml: id: expected str, got 3"


def test_no_own_folder_is_no_own_devices(tmp_path):
    assert known_profiles(tmp_path / "none") == PROFILES
    assert find_profile("rpi5", tmp_path / "none") is BY_ID["rpi5"]
