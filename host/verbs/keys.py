"""`keys`: make, rotate and show the keys that packages are signed with and boards trust."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from host.errors import UsageError
from host.verbs import Console, whole_number


def run(
    console: Console,
    action: str,
    folder: str,
    roots: str,
    threshold: str,
    days: str,
    revoke: bool,
    passphrase_fd: str,
) -> dict[str, Any]:
    """Do one of create, rotate, show. Raises UsageError or MissingError."""
    from host.package import keys_folder
    from host.package.keys_passphrase import read_passphrase

    if action not in ("create", "rotate", "show"):
        raise UsageError(f"there is no `keys {action}`", "choose one of: create, rotate, show")
    if action != "show" and not folder:
        raise UsageError(f"`keys {action}` without a folder", "add --folder DIR")
    path = Path(folder).expanduser()
    life = whole_number("--days", days, 0, 36_500)
    if action == "create":
        counts = (
            whole_number("--roots", roots, 1, 4),
            whole_number("--threshold", threshold, 1, 4),
        )
        found = keys_folder.create(path, read_passphrase(passphrase_fd, twice=True), *counts, life)
        console.say(
            f"keys made in {path}: flash boards with `flash --keys {path}`, build with "
            f"`build --keys {path}`, keep a copy, keep root keys apart"
        )
    elif action == "rotate":
        opened = keys_folder.KeyFolder.open(path)
        passphrase = read_passphrase(passphrase_fd)
        found = keys_folder.rotate(opened, passphrase, life, revoke)
        console.say(
            f"key set {found.key_set.version}: boards follow when they confirm a package built from now on"
        )
    elif folder:
        found = keys_folder.KeyFolder.open(path)
    else:
        description = _demo()
        _say(console, description)
        return description
    description = found.describe()
    _say(console, description)
    return description


def _demo() -> dict[str, Any]:
    """The demo keys of this checkout, in the same words."""
    from host.package import keys
    from host.package.keys_folder import describe_keys
    from host.package.keys_set import key_id, read_key_set

    signer, (roots, _) = keys.demo_signer(), keys.trusted()
    signing = key_id(keys.public_bytes(signer.key))
    return {
        "folder": str(keys.DEMO_FOLDER),
        **describe_keys(roots, read_key_set(signer.key_set, roots), signing),
        "private_keys": sorted(file.name for file in keys.DEMO_FOLDER.glob("*.pem")),
        "demo": True,
    }


def _say(console: Console, found: dict[str, Any]) -> None:
    if console.as_json:
        return
    if found.get("demo"):
        console.say(
            "demo keys of this checkout, not encrypted: they protect nothing but its boards"
        )
    expires = found["expires"]
    end = f"{datetime.fromtimestamp(expires, UTC):%Y-%m-%d}" if expires else "never"
    console.say(f"folder     {found['folder']}")
    console.say(f"roots      {found['threshold']} of {', '.join(found['roots'])}")
    console.say(f"key set    {found['version']}, expires {end}")
    for kid in found["keys"]:
        console.say(f"key        {kid}{' (signs)' if kid == found['signing'] else ''}")
    for kid in found["revoked"]:
        console.say(f"revoked    {kid}")
    for name in found["private_keys"]:
        console.say(f"private    {name}")
