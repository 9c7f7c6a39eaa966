"""The unit on the disk: written whole, recognised as ours, removed without a trace, and others' left alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from node.service import folders
from node.service.errors import FileNotWritten, ForeignUnit
from node.service.folders import UnitFile
from node.service.unit import MARKER

OURS = f"{MARKER}\n[Unit]\n"


@pytest.fixture
def file(tmp_path: Path) -> UnitFile:
    return UnitFile(tmp_path / "config" / "systemd" / "user", "x.service")


def test_what_is_written_is_read_back(file: UnitFile) -> None:
    assert file.read() is None
    file.write(OURS)
    assert file.read() == OURS
    assert file.path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("text", ["", "[Unit]\n", f"# a\n{MARKER}\n"])
def test_a_file_that_lamella_did_not_write_is_in_the_way(file: UnitFile, text: str) -> None:
    file.write(text)
    with pytest.raises(ForeignUnit) as caught:
        file.read()
    assert caught.value.path == file.path


def test_a_link_a_mask_and_a_folder_are_in_the_way(file: UnitFile, tmp_path: Path) -> None:
    file.folder.mkdir(parents=True)
    (tmp_path / "elsewhere").write_text(OURS)
    for target in ("/dev/null", str(tmp_path / "elsewhere"), str(tmp_path / "none")):
        file.path.symlink_to(target)
        with pytest.raises(ForeignUnit):
            file.read()
        file.path.unlink()
    file.path.mkdir()
    with pytest.raises(ForeignUnit):
        file.read()


def test_all_that_belongs_to_the_unit_goes_and_nothing_else(file: UnitFile, tmp_path: Path) -> None:
    runtime = tmp_path / "run"
    other = file.folder / "other.service"
    file.write(OURS)
    other.write_text("")
    drop_ins = [
        home / "x.service.d"
        for home in (file.folder, file.folder.parent / "user.control", runtime / "systemd/user.control")
    ]
    for folder in drop_ins:
        folder.mkdir(parents=True)
        (folder / "own.conf").write_text("")
    wants = file.folder / "default.target.wants"
    wants.mkdir()
    for name in ("x.service", "other.service"):
        (wants / name).symlink_to(file.folder / name)
    assert set(file.remove(runtime)) == {file.path, *drop_ins, wants / "x.service"}
    assert not file.path.exists()
    assert other.exists()
    assert [one.name for one in wants.iterdir()] == ["other.service"]
    assert file.remove(runtime) == ()


def test_settings_can_be_left(file: UnitFile) -> None:
    file.write(OURS)
    settings = file.folder / "x.service.d"
    settings.mkdir()
    assert file.remove(None, with_settings=False) == (file.path,)
    assert settings.is_dir()
    assert file.remove(None) == (settings,)


def test_a_folder_of_settings_that_is_a_link_is_not_followed(file: UnitFile, tmp_path: Path) -> None:
    file.write(OURS)
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "kept").write_text("")
    (file.folder / "x.service.d").symlink_to(precious)
    file.remove(None)
    assert (precious / "kept").exists()
    assert not file.folder.exists()


def test_what_the_disk_does_not_take_is_told(file: UnitFile, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("no folder")
    with pytest.raises(FileNotWritten, match="cannot be written"):
        file.write(OURS)
    with pytest.raises(FileNotWritten, match="cannot be made"):
        folders.make([tmp_path / "config" / "data"])


def test_missing_folders_are_made_for_this_user_alone(tmp_path: Path) -> None:
    folders.make([tmp_path / "a" / "b"])
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700
    assert os.access(tmp_path / "a" / "b", os.W_OK)
