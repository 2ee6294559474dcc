"""Sources that are not ours: MicroPython from Debian. Pinned and cached.

Debian's files are fetched with a private apt root: the mirror's address is the one of this system's own apt
configuration, signatures are checked with Debian's keyring, and nothing of the system's apt state changes.
"""

import getpass
import hashlib
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from host.boards import BUILD
from host.errors import MissingError
from host.flash.lock import locked
from host.progress import Progress, silent

MICROPYTHON_VERSION = "1.25.0"
MICROPYTHON_DEBIAN = "1.25.0+ds-1"
MICROPYTHON_ORIG = "micropython_1.25.0+ds.orig.tar.xz"
MICROPYTHON_SHA256 = "7b25be99a502f070b2de81dafc08da7051d992325d6e67daa9045a918fffdbea"
DEBIAN_SUITE = "trixie"
DEBIAN_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

APT_CONFIGURATION = Path("/etc/apt")
CACHE = BUILD / "cache"

_OWN_TREE = "or set MICROPYTHON_DIR to a MicroPython 1.25 source tree"


def micropython_dir(progress: Progress = silent) -> Path:
    """Root of a MicroPython 1.25 tree: MICROPYTHON_DIR, else Debian's source package, unpacked once.

    Raises MissingError: MICROPYTHON_DIR is no 1.25 tree; no apt, no network, or the pinned version is gone.
    """
    own = os.environ.get("MICROPYTHON_DIR")
    if own:
        return _checked_tree(Path(own).resolve())
    name = f"micropython-{MICROPYTHON_VERSION}"
    return _cached(name, _debian_source, MICROPYTHON_SHA256, progress)


def _cached(
    name: str,
    fetch: Callable[[Path], Path],
    sha256: str,
    progress: Progress,
) -> Path:
    """The unpacked archive of that digest, fetched into the cache once."""
    folder = CACHE / name
    with locked(folder):
        if _stamp(folder) == sha256:
            return folder
        progress(f"fetching {name}", None)
        with tempfile.TemporaryDirectory(dir=CACHE, prefix="fetch-") as scratch:
            archive = fetch(Path(scratch))
            _check_sha256(archive, sha256)
            _unpack(archive, folder, sha256)
    return folder


def _checked_tree(tree: Path) -> Path:
    header = tree / "py" / "mpconfig.h"
    remedy = "point MICROPYTHON_DIR at the root of a MicroPython 1.25 source tree, or unset it"
    if not header.is_file():
        raise MissingError(f"MICROPYTHON_DIR={tree} is not a MicroPython source tree", remedy)
    text = header.read_text(errors="replace")
    found = dict(re.findall(r"^#define MICROPY_VERSION_(MAJOR|MINOR) (\d+)", text, re.MULTILINE))
    version = f"{found.get('MAJOR', '?')}.{found.get('MINOR', '?')}"
    if version != "1.25":
        raise MissingError(f"MICROPYTHON_DIR={tree} is MicroPython {version}, not 1.25", remedy)
    return tree


def debian_mirror(configuration: Path = APT_CONFIGURATION) -> str:
    """Address of the Debian archive that this system uses, from its *.sources or *.list files.

    Raises MissingError when apt is not configured for Debian.
    """
    candidates: list[str] = []
    for path in sorted((configuration / "sources.list.d").glob("*.sources")):
        for stanza in re.split(r"\n\s*\n", path.read_text(errors="replace")):
            fields = dict(re.findall(r"^([\w-]+):[ \t]*(.+)$", stanza, re.MULTILINE))
            if fields.get("Enabled", "yes").strip().lower() != "no" and "deb" in fields.get(
                "Types", ""
            ):
                candidates += fields.get("URIs", "").split()
    lists = [
        configuration / "sources.list",
        *sorted((configuration / "sources.list.d").glob("*.list")),
    ]
    for path in lists:
        if path.is_file():
            text = path.read_text(errors="replace")
            candidates += re.findall(r"^deb\s+(?:\[[^\]]*\]\s+)?(\S+)", text, re.MULTILINE)
    for uri in candidates:
        if re.search(r"/debian/?$", uri):  # not debian-security, not a vendor's own archive
            return uri.rstrip("/")
    raise MissingError(
        f"apt on this machine has no Debian archive configured (looked in {configuration})",
        f"use Debian, {_OWN_TREE}",
    )


def _debian_source(scratch: Path) -> Path:
    if shutil.which("apt-get") is None:
        raise MissingError(
            "apt-get is not installed, so MicroPython cannot be fetched", f"use Debian, {_OWN_TREE}"
        )
    if not DEBIAN_KEYRING.is_file():
        raise MissingError(
            f"{DEBIAN_KEYRING} is missing, so Debian's signatures cannot be checked",
            f"run: apt-get install debian-archive-keyring, {_OWN_TREE}",
        )
    environment = {**os.environ, "APT_CONFIG": str(_private_apt_root(scratch))}
    download = [
        "apt-get",
        "source",
        "--download-only",
        "--tar-only",
        f"micropython={MICROPYTHON_DEBIAN}",
    ]
    for command in (["apt-get", "update"], download):
        done = subprocess.run(
            command, cwd=scratch, env=environment, capture_output=True, text=True, check=False
        )
        errors = [line for line in done.stderr.splitlines() if line.startswith(("E:", "Err:"))]
        if done.returncode != 0 or errors:
            reason = (
                errors[-1] if errors else (done.stderr.strip().splitlines() or ["no output"])[-1]
            )
            raise MissingError(
                f"could not fetch micropython {MICROPYTHON_DEBIAN} from Debian {DEBIAN_SUITE}: {reason}",
                f"connect to the network and run it again, {_OWN_TREE}",
            )
    return scratch / MICROPYTHON_ORIG


def _private_apt_root(scratch: Path) -> Path:
    """An apt configuration with its own lists, state and cache under `scratch`; returns its path."""
    root = scratch / "apt"
    for folder in ("etc/apt/preferences.d", "etc/apt/apt.conf.d", "etc/apt/trusted.gpg.d"):
        (root / folder).mkdir(parents=True)
    (root / "state" / "lists" / "partial").mkdir(parents=True)
    (root / "cache" / "archives" / "partial").mkdir(parents=True)
    (root / "state" / "status").touch()
    (root / "etc/apt/sources.list").write_text(
        f"deb-src [signed-by={DEBIAN_KEYRING}] {debian_mirror()} {DEBIAN_SUITE} main\n"
    )
    configuration = root / "apt.conf"
    configuration.write_text(
        f'Dir::Etc "{root}/etc/apt/";\n'
        f'Dir::Etc::SourceList "{root}/etc/apt/sources.list";\n'
        'Dir::Etc::SourceParts "-";\n'
        # Proxies, certificates and credentials are the system's own.
        f'Dir::Etc::Parts "{APT_CONFIGURATION}/apt.conf.d/";\n'
        f'Dir::Etc::netrc "{APT_CONFIGURATION}/auth.conf";\n'
        f'Dir::Etc::netrcparts "{APT_CONFIGURATION}/auth.conf.d/";\n'
        f'Dir::State "{root}/state/";\n'
        f'Dir::State::status "{root}/state/status";\n'
        f'Dir::Cache "{root}/cache/";\n'
        f'APT::Sandbox::User "{getpass.getuser()}";\n'
        'APT::Get::AllowUnauthenticated "false";\n'
        'Acquire::AllowInsecureRepositories "false";\n'
        'Acquire::Languages "none";\n'
        'Acquire::Retries "3";\n'
    )
    return configuration


def _check_sha256(path: Path, expected: str) -> None:
    if not path.is_file():
        raise MissingError(f"{path.name} did not arrive", "run it again")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != expected:
        raise MissingError(
            f"{path.name} has SHA-256 {found[:16]}..., not the pinned {expected[:16]}...",
            "the mirror serves another file; try another mirror",
        )


def _stamp(folder: Path) -> str:
    stamp = folder / ".tactus-stamp"
    return stamp.read_text().strip() if stamp.is_file() else ""


def _unpack(archive: Path, folder: Path, stamp: str) -> None:
    """Unpack without the archive's top folder; `folder` appears whole, with its stamp, or not at all."""
    fresh = archive.parent / "unpacked"
    with tarfile.open(archive) as tar:
        # Pythons before 3.11.4 may lack filters; the archive's digest is pinned either way.
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        members = []
        for member in tar.getmembers():
            _, _, name = member.name.partition("/")
            if name:
                member.name = name
                members.append(member)
        tar.extractall(fresh, members=members)
    (fresh / ".tactus-stamp").write_text(stamp + "\n")
    if folder.exists():
        shutil.rmtree(folder)
    fresh.rename(folder)
