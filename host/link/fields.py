"""Checked access to the CBOR map of a reply: what a board sends is hostile until it was looked at."""

from collections.abc import Mapping

from host.link.errors import BadReplyError


class Fields:
    """A reply map; each getter returns the right type or raises BadReplyError naming the field."""

    def __init__(self, values: Mapping[object, object], where: str) -> None:
        self._values = values
        self._where = where

    def has(self, name: str) -> bool:
        """Whether the field is there and not null."""
        return self._values.get(name) is not None

    def values(self) -> Mapping[object, object]:
        """All there is, unchecked."""
        return self._values

    def uint(self, name: str, default: int | None = None) -> int:
        """Read an unsigned integer."""
        value = self._get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self._wrong(name, "an unsigned integer")
        return value

    def integer(self, name: str, default: int | None = None) -> int:
        """Read an integer of either sign."""
        value = self._get(name, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._wrong(name, "an integer")
        return value

    def text(self, name: str, default: str | None = None) -> str:
        """Read a text string."""
        value = self._get(name, default)
        if not isinstance(value, str):
            raise self._wrong(name, "text")
        return value

    def blob(self, name: str, default: bytes | None = None) -> bytes:
        """Read a byte string."""
        value = self._get(name, default)
        if not isinstance(value, bytes):
            raise self._wrong(name, "bytes")
        return value

    def flag(self, name: str, default: bool | None = None) -> bool:
        """Read a boolean."""
        value = self._get(name, default)
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return value

    def array(self, name: str) -> list[object]:
        """Read an array."""
        value = self._get(name, None)
        if not isinstance(value, list):
            raise self._wrong(name, "an array")
        return value

    def maps(self, name: str) -> "list[Fields]":
        """Read an array of maps."""
        out: list[Fields] = []
        for index, item in enumerate(self.array(name)):
            if not isinstance(item, dict):
                raise self._wrong(f"{name}[{index}]", "a map")
            out.append(Fields(item, f"{self._where}, {name}[{index}]"))
        return out

    def sub(self, name: str) -> "Fields":
        """Read a map."""
        value = self._get(name, None)
        if not isinstance(value, dict):
            raise self._wrong(name, "a map")
        return Fields(value, f"{self._where}, {name}")

    def blobs(self, name: str) -> tuple[bytes, ...]:
        """Read an array of byte strings."""
        out: list[bytes] = []
        for index, item in enumerate(self.array(name)):
            if not isinstance(item, bytes):
                raise self._wrong(f"{name}[{index}]", "bytes")
            out.append(item)
        return tuple(out)

    def uints(self, name: str) -> tuple[int, ...]:
        """Read an array of unsigned integers."""
        out: list[int] = []
        for index, item in enumerate(self.array(name)):
            if isinstance(item, bool) or not isinstance(item, int) or item < 0:
                raise self._wrong(f"{name}[{index}]", "an unsigned integer")
            out.append(item)
        return tuple(out)

    def texts(self, name: str) -> tuple[str, ...]:
        """Read an array of text strings."""
        out: list[str] = []
        for index, item in enumerate(self.array(name)):
            if not isinstance(item, str):
                raise self._wrong(f"{name}[{index}]", "text")
            out.append(item)
        return tuple(out)

    def names(self) -> tuple[str, ...]:
        """List the keys that are text."""
        return tuple(key for key in self._values if isinstance(key, str))

    def counts(self) -> dict[str, int]:
        """Read the whole map as text -> integer."""
        out: dict[str, int] = {}
        for key, value in self._values.items():
            if not isinstance(key, str) or isinstance(value, bool) or not isinstance(value, int):
                raise self._wrong(str(key), "a named integer")
            out[key] = value
        return out

    def _get(self, name: str, default: object) -> object:
        value = self._values.get(name)
        return default if value is None else value

    def _wrong(self, name: str, wanted: str) -> BadReplyError:
        state = "is not" if self.has(name) else "is missing, should be"
        return BadReplyError(f"reply to {self._where}: field {name!r} {state} {wanted}")
