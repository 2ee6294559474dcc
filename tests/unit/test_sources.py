"""Foreign sources are pinned, checked and explained when they cannot be had."""

from __future__ import annotations

import io
import re
import shutil
import tarfile
from pathlib import Path

import pytest

from host.boards import ROOT
from host.errors import ExitCode, MissingError
from host.flash import sources, system

STANZA = """# a comment
Types: deb
URIs: {uri}
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sources, "CACHE", tmp_path / "cache")
    monkeypatch.delenv("MICROPYTHON_DIR", raising=False)
    return tmp_path / "cache"


def test_the_pins_are_the_ones_that_were_reviewed() -> None:
    assert sources.MICROPYTHON_DEBIAN == "1.25.0+ds-1"
    assert (
        sources.MICROPYTHON_SHA256
        == "7b25be99a502f070b2de81dafc08da7051d992325d6e67daa9045a918fffdbea"
    )


def test_no_registry_host_is_named_in_the_sources() -> None:
    registry = re.compile(r"[\w.-]*(debian\.org|pypi\.org|pythonhosted\.org|github\.com)")
    for path in [*(ROOT / "host" / "flash").rglob("*.py"), *(ROOT / "boards").rglob("*.*")]:
        found = registry.search(path.read_text(errors="replace"))
        assert found is None, f"{path} names {found.group() if found else ''}"


def micropython_tree(folder: Path, major: int, minor: int) -> Path:
    (folder / "py").mkdir(parents=True)
    lines = [
        f"#define MICROPY_VERSION_{name} {value}"
        for name, value in (("MAJOR", major), ("MINOR", minor))
    ]
    (folder / "py" / "mpconfig.h").write_text("\n".join(lines) + "\n")
    return folder


def test_an_own_tree_of_the_right_version_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = micropython_tree(tmp_path / "mp", 1, 25)
    monkeypatch.setenv("MICROPYTHON_DIR", str(tree))
    assert sources.micropython_dir() == tree


@pytest.mark.parametrize(
    ("version", "words"), [((1, 24), "MicroPython 1.24, not 1.25"), (None, "is not a MicroPython")]
)
def test_another_own_tree_is_refused(
    version: tuple[int, int] | None, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = micropython_tree(tmp_path / "mp", *version) if version else tmp_path
    monkeypatch.setenv("MICROPYTHON_DIR", str(tree))
    with pytest.raises(MissingError, match=words) as caught:
        sources.micropython_dir()
    assert caught.value.exit_code == ExitCode.MISSING
    assert "MICROPYTHON_DIR" in caught.value.remedy


def test_without_apt_the_remedy_is_an_own_tree(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(MissingError, match="apt-get is not installed") as caught:
        sources.micropython_dir()
    assert "MICROPYTHON_DIR" in caught.value.remedy


def test_a_mirror_that_does_not_answer_is_told(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "debian_mirror", lambda: f"file://{empty_cache}/nowhere")
    with pytest.raises(MissingError, match=r"could not fetch micropython 1\.25\.0") as caught:
        sources.micropython_dir()
    assert caught.value.exit_code == ExitCode.MISSING
    assert "network" in caught.value.remedy
    assert not list(empty_cache.glob("fetch-*")), "scratch is left behind"


def test_a_tarball_with_another_digest_is_refused(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fake(scratch: Path) -> Path:
        path = scratch / sources.MICROPYTHON_ORIG
        with tarfile.open(path, "w:xz") as tar:
            tar.addfile(tarfile.TarInfo("top/file"), io.BytesIO())
        return path

    monkeypatch.setattr(sources, "_debian_source", fake)
    with pytest.raises(MissingError, match="not the pinned 7b25be99"):
        sources.micropython_dir()
    assert not (empty_cache / "micropython-1.25.0").exists()


def test_the_mirror_is_the_one_of_the_system(tmp_path: Path) -> None:
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    stanzas = [
        STANZA.format(uri="http://mirror.test/debian-security"),
        STANZA.format(uri="http://mirror.test/debian/"),
    ]
    (parts / "debian.sources").write_text("\n".join(stanzas))
    (parts / "vendor.list").write_text("deb https://vendor.test/apt stable main\n")
    assert sources.debian_mirror(tmp_path) == "http://mirror.test/debian"


def test_old_style_sources_and_disabled_stanzas_are_understood(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    disabled = STANZA.format(uri="http://off.test/debian") + "Enabled: no\n"
    (tmp_path / "sources.list.d" / "debian.sources").write_text(disabled)
    (tmp_path / "sources.list").write_text(
        "# deb x\ndeb [arch=amd64 trusted=no] http://on.test/debian bookworm main\n"
    )
    assert sources.debian_mirror(tmp_path) == "http://on.test/debian"


def test_a_system_without_debian_is_told(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no Debian archive configured"):
        sources.debian_mirror(tmp_path)


def test_missing_packages_are_named_with_the_command_unless_root(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        system.shutil, "which", lambda name: None if "arm" in name else f"/usr/bin/{name}"
    )
    monkeypatch.setattr(system.os, "geteuid", lambda: 1000)
    with pytest.raises(MissingError, match="gcc-arm-none-eabi, libnewlib-arm-none-eabi") as caught:
        system.require(*system.ARM_FIRMWARE)
    assert "apt-get install -y --no-install-recommends gcc-arm-none-eabi" in caught.value.remedy


def test_what_is_there_is_not_installed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "_apt", lambda _: pytest.fail("apt-get was called"))
    system.require("gcc", "make")
