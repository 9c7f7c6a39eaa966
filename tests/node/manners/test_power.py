"""Batteries and plugs of machines that exist, and of some that should not."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from node.manners.power import MAX_SUPPLIES, Power, read_power
from tests.fakes.machine_tree import supply


def test_a_laptop_on_its_battery_is_told_from_one_that_is_plugged_in(tmp_path: Path) -> None:
    mains = supply(tmp_path, "AC", type="Mains", online="0")
    battery = supply(tmp_path, "BAT0", type="Battery", status="Discharging", present="1", capacity="81")
    assert read_power(tmp_path) == Power(on_battery=True, percent=81)
    (mains / "online").write_text("1\n")
    (battery / "status").write_text("Charging\n")
    assert read_power(tmp_path) == Power(on_battery=False, percent=81)


def test_a_machine_without_supplies_is_plugged_in(tmp_path: Path) -> None:
    assert read_power(tmp_path) == read_power(tmp_path / "missing") == Power()


def test_a_plug_decides_even_where_the_battery_is_drained_for_its_care(tmp_path: Path) -> None:
    supply(tmp_path, "ucsi", type="USB", online="1")
    supply(tmp_path, "BAT0", type="Battery", status="Discharging")
    assert not read_power(tmp_path).on_battery


def test_one_plug_of_several_is_enough(tmp_path: Path) -> None:
    supply(tmp_path, "AC", type="Mains", online="0")
    supply(tmp_path, "usb1", type="USB", online="0")
    supply(tmp_path, "usb2", type="USB", online="2")
    supply(tmp_path, "BAT0", type="Battery", status="Not charging")
    assert not read_power(tmp_path).on_battery


def test_a_battery_without_a_plug_is_in_use_when_it_says_so(tmp_path: Path) -> None:
    battery = supply(tmp_path, "BAT0", type="Battery", status="Discharging")
    assert read_power(tmp_path).on_battery
    (battery / "status").write_text("Full\n")
    assert not read_power(tmp_path).on_battery


def test_a_plug_that_is_out_leaves_the_battery_whatever_that_says(tmp_path: Path) -> None:
    supply(tmp_path, "AC", type="Mains", online="0")
    supply(tmp_path, "BAT0", type="Battery", status="Unknown")
    assert read_power(tmp_path).on_battery


def test_a_desktop_whose_plug_says_nothing_is_not_on_battery(tmp_path: Path) -> None:
    supply(tmp_path, "AC", type="Mains", online="0")
    assert not read_power(tmp_path).on_battery


def test_the_battery_of_a_mouse_is_not_this_machines(tmp_path: Path) -> None:
    supply(tmp_path, "hidpp", type="Battery", scope="Device", status="Discharging", capacity="5")
    assert read_power(tmp_path) == Power()


def test_a_battery_that_is_taken_out_feeds_nothing(tmp_path: Path) -> None:
    supply(tmp_path, "BAT1", type="Battery", status="Discharging", present="0")
    assert read_power(tmp_path) == Power()


def test_an_uninterruptible_supply_that_is_drained_is_a_battery(tmp_path: Path) -> None:
    supply(tmp_path, "ups", type="UPS", status="Discharging")
    assert read_power(tmp_path).on_battery


def test_more_supplies_than_any_machine_has_and_files_that_are_none_do_no_harm(tmp_path: Path) -> None:
    for number in range(MAX_SUPPLIES * 2):
        supply(tmp_path, f"BAT{number}", type="Battery", status="Charging", capacity="999")
    (tmp_path / "file").write_text("x")
    odd = tmp_path / "odd"
    odd.mkdir()
    os.mkfifo(odd / "type")
    assert read_power(tmp_path) == Power()


@settings(max_examples=30)
@given(
    st.dictionaries(
        st.sampled_from(["type", "status", "online", "capacity", "scope", "present"]), st.binary(max_size=40)
    )
)
def test_whatever_firmware_writes_is_read_without_harm(
    values: dict[str, bytes],
) -> None:

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "BAT0"
        place.mkdir()
        for key, value in values.items():
            (place / key).write_bytes(value)
        power = read_power(Path(folder))
        assert power.percent is None or 0 <= power.percent <= 100
