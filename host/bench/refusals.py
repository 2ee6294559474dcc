"""Packages that a board must refuse, sent to one that runs: each leaves everything as it was."""

from collections.abc import Iterator

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from host.link.errors import DeviceError, SpoiltError
from host.link.session import Session
from host.package.keys import Signer, demo_root, demo_signer, public_bytes
from host.package.keys_set import FOREVER, key_id, sign_key_set
from host.package.read import parse_package
from host.package.write import resign_package
from host.progress import Progress, silent
from protocol import package as layout

_ORDER = 2**252 + 27742317777372353535851937790883648493  # of the base point, RFC 8032
_PAYLOAD_STEP = (
    64  # one bit of each so manieth byte of the payloads is flipped, of the rest of every byte
)
_CUTS = 32


def count_refusals(
    session: Session, package: bytes, step: int = 1, progress: Progress = silent
) -> tuple[int, list[str]]:
    """Send every `step`-th variant of `package`: how many were refused, and what was not.

    The board runs a package of the same counter, confirmed. Raises LinkError when it stays away.
    """
    before = session.tactus.info()
    made = list(variants(package))[::step]
    wrong: list[str] = []
    for number, (what, variant) in enumerate(made):
        progress("packages to refuse", number / len(made))
        try:
            session.image.upload(variant)
            wrong.append(what)
        except (DeviceError, SpoiltError):
            pass
    after = session.tactus.info()
    kept = (after.version, after.slot, after.boot_id, after.running)
    if kept != (before.version, before.slot, before.boot_id, before.running):
        wrong.append("what ran before does not run any more")
    return len(made) - len(wrong), wrong


def variants(package: bytes) -> Iterator[tuple[str, bytes]]:
    """(what is wrong with it, the file)."""
    info, signer = parse_package(package), demo_signer()
    signed = layout.HEAD_BYTES + layout.padded(info.envelope_bytes)
    first = info.payloads[0].offset
    for at in [*range(first), *range(first, len(package), _PAYLOAD_STEP)]:
        flipped = bytearray(package)
        flipped[at] ^= 1 << at % 8
        yield f"bit {at % 8} of byte {at} flipped", bytes(flipped)
    for part in range(1, _CUTS):
        size = len(package) * part // _CUTS
        yield f"cut to {size} bytes", package[:size]
    yield "16 bytes more", package + bytes(16)
    end = layout.HEAD_BYTES + info.envelope_bytes
    scalar = int.from_bytes(package[end - 32 : end], "little") + _ORDER
    yield (
        "S + L",
        package[: end - 32]
        + scalar.to_bytes(32, "little")
        + package[end:signed]
        + (package[signed:]),
    )
    target = info.manifest["target"]
    for what, changes in {
        "an older counter": {"counter": info.manifest["counter"] - 1},
        "another class": {"target": {**target, "class": "elsewhere"}},
        "a feature that is not there": {"target": {**target, "features": ["telepathy"]}},
        "kernels that are not there": {"target": {**target, "kernels": 1 << 31}},
        "more arena than there is": {"target": {**target, "arena_bytes": 1 << 24}},
    }.items():
        if changes.get("counter", 0) != -1:
            yield what, resign_package(package, changes, signer)
    stranger = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    stolen = Signer(stranger, signer.key_set, "a key that the key set does not name")
    yield stolen.name, resign_package(package, {}, stolen)
    own = sign_key_set(9, FOREVER, [public_bytes(stranger)], [], [stranger])
    yield "a key set of other roots", resign_package(package, {}, Signer(stranger, own, ""))
    revoked = sign_key_set(
        *(9, FOREVER, [public_bytes(stranger)], [key_id(public_bytes(signer.key))], [demo_root()])
    )
    yield "a revoked key", resign_package(package, {}, Signer(signer.key, revoked, ""))
    expired = sign_key_set(9, 1, [public_bytes(signer.key)], [], [demo_root()])
    yield "an expired key set", resign_package(package, {}, Signer(signer.key, expired, ""))
