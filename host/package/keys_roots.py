"""The root keys that a board's firmware trusts: they sign key sets, key sets sign packages."""

from dataclasses import dataclass

from host.errors import UsageError
from protocol import cose

KEY_BYTES = 32
DEMO_NAME = "demo keys"  # how a board's `trust` begins that was flashed with them
ROOTS_MAX = cose.SIGNATURES_MAX


@dataclass(frozen=True, slots=True)
class RootKeys:
    """Raw Ed25519 public keys, and how many of them must sign a key set. Raises UsageError."""

    keys: tuple[bytes, ...]
    threshold: int

    def __post_init__(self) -> None:
        if not 1 <= len(set(self.keys)) == len(self.keys) <= ROOTS_MAX:
            raise UsageError(
                f"{len(self.keys)} root keys, equal ones among them or too many",
                f"give 1 to {ROOTS_MAX} different root keys",
            )
        if any(len(key) != KEY_BYTES for key in self.keys):
            raise UsageError("a root key of another size", f"give raw keys of {KEY_BYTES} bytes")
        if not 1 <= self.threshold <= len(self.keys):
            raise UsageError(
                f"a threshold of {self.threshold} with {len(self.keys)} root keys",
                f"choose a threshold from 1 to {len(self.keys)}",
            )
