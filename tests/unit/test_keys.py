"""Keys of one's own: encrypted on disk, rotated under the roots, never in the repository."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from device_bench import Bench
from package_builder import build, manifest
from package_samples import SIGNER, package

from host.boards import BUILD, ROOT
from host.errors import MissingError, UsageError
from host.package import keys
from host.package.keys_folder import KeyFolder, create, rotate
from host.package.keys_passphrase import read_passphrase
from host.package.keys_set import FOREVER, sign_key_set
from host.package.read import PackageError, read_package
from protocol import errors

SECRET = b"correct horse battery"


@pytest.fixture
def folder(tmp_path: Path) -> KeyFolder:
    return create(tmp_path / "own", SECRET, 3, 2, 30)


def test_private_keys_are_encrypted_and_only_their_owner_reads_them(folder: KeyFolder) -> None:
    files = list(folder.path.glob("*.pem"))
    assert len(files) == 4
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert b"BEGIN ENCRYPTED PRIVATE KEY" in file.read_bytes()
    assert not list(folder.path.glob("tmp*"))
    with pytest.raises(UsageError, match="the passphrase does not open"):
        folder.signer(b"another passphrase")
    with pytest.raises(UsageError, match="not an unencrypted"):
        keys.load_key(files[0])
    files[0].chmod(0o640)
    with pytest.raises(UsageError, match="read by others") as caught:
        keys.load_key(files[0], SECRET)
    assert "chmod 600" in caught.value.remedy


def test_what_they_sign_is_good_for_the_boards_that_trust_them(folder: KeyFolder) -> None:
    roots, name = folder.trusted()
    assert name.startswith("2 of 3 roots ") and not name.startswith("demo")
    info = read_package(package(signer=folder.signer(SECRET)), roots)
    assert (info.key_version, info.signer) == (1, folder.signing)
    assert abs(info.key_expires - time.time() - 30 * 86_400) < 600
    with pytest.raises(PackageError) as caught:
        read_package(package(signer=SIGNER), roots)
    assert caught.value.code == errors.PKG_KEYSET


def test_a_rotation_replaces_the_signing_key(folder: KeyFolder) -> None:
    before = folder.signer(SECRET)
    after = rotate(folder, SECRET, 0, revoke=False)
    assert (after.key_set.version, after.key_set.expires) == (2, FOREVER)
    assert after.signing not in folder.key_set.keys and not after.key_set.revoked
    assert list(after.key_set.keys) == [after.signing]
    assert KeyFolder.open(folder.path).signing == after.signing
    third = rotate(after, SECRET, 0, revoke=True)
    assert third.key_set.revoked == [after.signing]
    both = replace(after.signer(SECRET), key_set=third.document)
    for signer, code in ((both, errors.PKG_REVOKED), (before, None), (third.signer(SECRET), None)):
        data = package(signer=signer)
        if code is None:
            read_package(data, folder.roots)  # alone nobody can tell that a key set is old
        else:
            with pytest.raises(PackageError) as caught:
                read_package(data, folder.roots)
            assert caught.value.code == code


def test_a_rotation_needs_as_many_roots_as_the_threshold(folder: KeyFolder) -> None:
    roots = sorted(folder.path.glob("root-*.pem"))
    roots[0].rename(folder.path / "elsewhere")
    assert rotate(folder, SECRET, 0, revoke=False).key_set.version == 2
    roots[1].rename(folder.path / "elsewhere-too")
    with pytest.raises(MissingError, match=r"1 root keys in .*, 2 must sign") as caught:
        rotate(KeyFolder.open(folder.path), SECRET, 0, revoke=False)
    assert roots[0].name in caught.value.remedy and roots[1].name in caught.value.remedy
    assert KeyFolder.open(folder.path).key_set.version == 2


def test_a_wrong_passphrase_rotates_nothing(folder: KeyFolder) -> None:
    with pytest.raises(UsageError, match="does not open"):
        rotate(folder, b"another passphrase", 0, revoke=True)
    assert KeyFolder.open(folder.path).key_set.version == 1
    assert len(list(folder.path.glob("*.pem"))) == 4


def test_a_key_set_that_has_expired_signs_nothing(
    folder: KeyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: folder.key_set.expires + 1.0)
    with pytest.raises(UsageError, match="has expired") as caught:
        folder.signer(SECRET)
    assert "keys rotate" in caught.value.remedy


@pytest.mark.parametrize(
    "roots, threshold, secret", [(0, 1, SECRET), (5, 1, SECRET), (2, 3, SECRET), (1, 1, b"short")]
)
def test_keys_that_could_not_work_are_not_made(
    tmp_path: Path, roots: int, threshold: int, secret: bytes
) -> None:
    with pytest.raises(UsageError):
        create(tmp_path / "own", secret, roots, threshold, 0)
    assert not (tmp_path / "own").exists()


def test_keys_are_not_made_in_the_repository_and_never_over_others(folder: KeyFolder) -> None:
    with pytest.raises(UsageError, match="source tree"):
        create(ROOT / "keys", SECRET, 1, 1, 0)
    assert not (ROOT / "keys").exists() and "/build/" in (ROOT / ".gitignore").read_text()
    assert BUILD == ROOT / "build"
    with pytest.raises(UsageError, match="there are keys"):
        create(folder.path, SECRET, 1, 1, 0)


@pytest.mark.parametrize(
    "change",
    [
        lambda index: index.pop("roots"),
        lambda index: index.update(threshold=4),
        lambda index: index.update(signing="00" * 8),
        lambda index: index.update(key_set=index["key_set"][:-2] + "ff"),  # S beyond L
        lambda index: index.update(roots=["xy"]),
        lambda index: index.update(roots=7),
    ],
)
def test_a_damaged_index_is_told(folder: KeyFolder, change: object) -> None:
    index = json.loads((folder.path / "keys.json").read_text())
    change(index)  # type: ignore[operator]
    (folder.path / "keys.json").write_text(json.dumps(index))
    with pytest.raises(UsageError):
        KeyFolder.open(folder.path)


def test_a_board_follows_a_rotation_and_does_not_go_back(folder: KeyFolder) -> None:
    roots, _ = folder.trusted()
    bench = Bench(roots=b"".join(roots.keys), root_threshold=2)
    after = rotate(folder, SECRET, 0, revoke=True)
    first, second = folder.signer, after.signer

    def signed(signer: keys.Signer, version: str) -> bytes:
        return build(manifest(version=version), key=signer.key, keys=signer.key_set)

    try:
        # The folder's object of before the rotation still holds key set 1 and its key.
        bench.install(signed(first(SECRET), "1"))
        assert bench.store.key_version == 1
        bench.install(signed(second(SECRET), "2"))
        assert bench.store.key_version == 2
        reply = bench.upload(signed(first(SECRET), "3"))
        assert reply == {"err": {"group": 64, "rc": errors.PKG_KEYSET_OLD}}
        alone = sign_key_set(
            9,
            FOREVER,
            [keys.public_bytes(second(SECRET).key)],
            [],
            [keys.load_key(next(folder.path.glob("root-*.pem")), SECRET)],
        )
        reply = bench.upload(signed(replace(second(SECRET), key_set=alone), "4"))
        assert reply == {"err": {"group": 64, "rc": errors.PKG_KEYSET}}
        assert bench.store.key_version == 2
    finally:
        bench.close()


@pytest.mark.parametrize("text", [b"", b"\n", b"\nsecond line\n"])
def test_a_file_descriptor_without_a_passphrase_is_told(text: bytes) -> None:
    reading, writing = os.pipe()
    os.write(writing, text)
    os.close(writing)
    with pytest.raises(UsageError, match="holds no passphrase"):
        read_passphrase(str(reading))
    os.close(reading)


@pytest.mark.parametrize("descriptor", ["-1", "x", "987654", "99999999999999999999"])
def test_a_wrong_file_descriptor_is_told(descriptor: str) -> None:
    with pytest.raises(UsageError):
        read_passphrase(descriptor)


def verb(*arguments: str, secret: bytes | None = SECRET) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tasks.py"), "keys", *arguments]
    if secret is None:
        return subprocess.run(
            command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
        )
    reading, writing = os.pipe()
    os.write(writing, secret + b"\n")
    os.close(writing)
    done = subprocess.run(
        [*command, "--passphrase-fd", str(reading)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        pass_fds=[reading],
        check=False,
    )
    os.close(reading)
    return done


def test_the_verb_makes_rotates_and_shows(tmp_path: Path) -> None:
    place = ["--folder", str(tmp_path / "own")]
    made = verb("create", *place, "--roots", "2", "--threshold", "1", "--json")
    assert made.returncode == 0, made.stderr
    first = json.loads(made.stdout.splitlines()[-1])
    assert (first["version"], first["threshold"], len(first["roots"])) == (1, 1, 2)
    turned = verb("rotate", *place, "--revoke", "--days", "0", "--json")
    second = json.loads(turned.stdout.splitlines()[-1])
    assert (second["version"], second["expires"]) == (2, 0)
    assert second["revoked"] == [first["signing"]] and second["signing"] != first["signing"]
    shown = verb("show", *place, "--json", secret=None)
    assert json.loads(shown.stdout.splitlines()[-1]) == second
    text = verb("show", *place, secret=None).stdout
    assert "key set    2, expires never" in text and f"revoked    {first['signing']}" in text
    assert SECRET.decode() not in text + made.stdout + made.stderr


def test_the_verb_shows_the_demo_keys_as_what_they_are() -> None:
    shown = verb("show", secret=None)
    assert "protect nothing" in shown.stdout
    seen = json.loads(verb("show", "--json", secret=None).stdout)
    assert seen["demo"] is True and seen["version"] == 1


@pytest.mark.parametrize(
    "arguments, code, words",
    [
        (["make"], 2, "no `keys make`"),
        (["create"], 2, "without a folder"),
        (["create", "--folder", "FOLDER"], 2, "no terminal"),
        (["rotate", "--folder", "FOLDER"], 3, "no keys in"),
        (["show", "--folder", "FOLDER"], 3, "no keys in"),
        (["create", "--folder", "FOLDER", "--roots", "x"], 2, "--roots"),
        (["create", "--folder", "FOLDER", "--days", "-1"], 2, "--days"),
    ],
)
def test_wrong_use_of_the_verb_is_one_line_and_a_remedy(
    arguments: list[str], code: int, words: str, tmp_path: Path
) -> None:
    place = [str(tmp_path / "none") if word == "FOLDER" else word for word in arguments]
    done = verb(*place, secret=None)
    assert (done.returncode, words in done.stderr) == (code, True), done.stderr
    assert len(done.stderr.strip().splitlines()) == 2
