"""Who may sign what this board runs: the firmware's root keys sign a key set, the key set's keys sign packages.

The key set lies in the package, so the key set and what it signed are chosen, tried, confirmed and reverted
together. A confirmed package raises the board's floor: an older key set is refused from then on, and with it
every key that only older ones name.
"""

import _tactus

from protocol import cose, errors, keyset
from protocol import package as container
from tactus.refusal import Refused, require

_HASH_BYTES = 1024  # of a message in one piece: some 6 ms of a 25 MHz Cortex-M4
_MORE = 1  # TAC_ED25519_MORE
_signed = b""  # the last key set whose signatures were found good, about 200 bytes


def open_envelope(data, facts):
    """Check key set and signature of a package file, in pieces: (envelope, key set). Nothing else is believed yet.

    Raises Refused. Costs one Ed25519 check for the package, and one for each root signature of a key set not seen
    last time.
    """
    try:
        document = container.key_set(data)
        keys = yield from keyset.parse_in_pieces(document)
        yield
        envelope = container.envelope(data)
    except ValueError as error:
        raise Refused(errors.PKG_FORMAT, str(error))
    yield
    is_signed = yield from _is_signed(bytes(document), keys, facts["root_threshold"])
    require(is_signed, errors.PKG_KEYSET, "key set version %d" % keys.version)
    floor = _tactus.key_version()
    require(
        keys.version >= floor,
        errors.PKG_KEYSET_OLD,
        "version %d, board has %d" % (keys.version, floor),
    )
    require(envelope.kid not in keys.revoked, errors.PKG_REVOKED, "key id " + envelope.kid.hex())
    require(envelope.kid in keys.keys, errors.PKG_KEY, "key id " + envelope.kid.hex())
    head = cose.signed_head(envelope.protected, len(envelope.payload))
    yield
    is_good = yield from _is_good(
        envelope.signature, keys.keys[envelope.kid], head, envelope.payload
    )
    require(is_good, errors.PKG_SIGNATURE, "Ed25519")
    return envelope, keys


def check_time(data, utc_s):
    """Refuse a file whose key set is over at `utc_s`, in pieces; None, a time not known, refuses nothing.

    Asked when a package arrives and when a new one is chosen for its trial, never at boot and never of one that
    was confirmed before: time alone must not take its packages from a board. The file may be of any content.
    """
    try:
        keys = yield from keyset.parse_in_pieces(container.key_set(data))
    except ValueError as error:
        raise Refused(errors.PKG_FORMAT, str(error))
    if utc_s is not None and keys.is_expired(utc_s):
        raise Refused(errors.PKG_EXPIRED, "at %d s" % keys.expires)


def _is_signed(document, keys, threshold):
    # Most packages come under the key set of the one that runs: its roots were checked at boot, and tasks wait.
    global _signed
    if document != _signed:
        wanted = keyset.to_check(keys, _roots(), threshold)
        if wanted is None:
            return False
        for signature, key, head in wanted:
            yield
            is_good = yield from _is_good(signature, key, head, keys.envelope.payload)
            if not is_good:
                return False
        _signed = document
    return True


def _roots():
    keys = _tactus.root_keys()
    size = keyset.KEY_BYTES
    return [keys[at : at + size] for at in range(0, len(keys), size)]


def _is_good(signature, key, head, payload):
    check = _tactus.ed25519_begin(signature, key)
    _tactus.ed25519_update(check, head)
    for at in range(0, len(payload), _HASH_BYTES):
        _tactus.ed25519_update(check, payload[at : at + _HASH_BYTES])
        yield
    code = _tactus.ed25519_step(check)
    while code == _MORE:
        yield
        code = _tactus.ed25519_step(check)
    return code == 0
