"""SMP group 1, images: the two slots, upload, trial, confirm, erase.

Group 64 reaches the receiving slot by `patch`, which makes a package out of the one that is there.

Every request may be repeated: a chunk that was already written is answered with the offset wanted next, a
finished upload with its result, a mark that is already set with the state.
"""

import _tactus

from protocol import cbor, errors, keyset, smp
from protocol import manifest as schema
from protocol import package as container
from tactus import package as packages
from tactus import state, trial, trust
from tactus.platform import log
from tactus.refusal import Refused
from tactus.request import DeviceError, StatusError, blob, check, flag, uint

_SHA_BYTES = 32
_BASE_BYTES = 8  # of a SHA-256, enough to find a base: what comes out is checked as a whole
_PIECE_BYTES = 512  # of a patch's result, in one piece of background work
_FINISH_BYTES = 2048  # hashed in one piece where an upload was interrupted
_MORE = 1  # TAC_STORE_MORE
_VERSION_MAX = 32  # characters; what a board shows of a package that it may have refused
_UNKNOWN = ("?", 0, 0)  # of a refused package that cannot even be read
# Which of the slots that do not run is given up first for an upload.
_GIVE_UP_ORDER = (
    state.EMPTY,
    state.BAD,
    state.RECEIVING,
    state.STAGED,
    state.PENDING,
    state.CONFIRMED,
    state.TRIED,
)

# What comes nearest to ours among the codes that stock clients know: signatures are TLVs in their images.
STANDARD_CODES = {
    errors.SPACE: smp.IMAGE_TOO_LARGE,
    errors.FLASH: smp.IMAGE_FLASH_WRITE,
    errors.CORRUPT: smp.IMAGE_FLASH_READ,
    errors.NOT_FOUND: smp.IMAGE_INVALID_HASH,
    errors.PKG_FORMAT: smp.IMAGE_INVALID_MAGIC,
    errors.PKG_SIGNATURE: smp.IMAGE_INVALID_TLV,
    errors.PKG_KEY: smp.IMAGE_INVALID_TLV,
    errors.PKG_KEYSET: smp.IMAGE_INVALID_TLV,
    errors.PKG_REVOKED: smp.IMAGE_INVALID_TLV,
    errors.PKG_EXPIRED: smp.IMAGE_INVALID_TLV,
    errors.PKG_DIGEST: smp.IMAGE_INVALID_HASH,
    errors.PKG_COUNTER: smp.IMAGE_NEWER,
    errors.PKG_KEYSET_OLD: smp.IMAGE_NEWER,
}


def read_state(board, request):
    """List the slots that hold a whole package."""
    yield from learn_versions(board)
    images = []
    for slot in state.slots():
        yield
        if slot.state not in (state.EMPTY, state.RECEIVING):
            images.append(
                {
                    "slot": slot.index,
                    "version": board.versions[slot.sha256][0],
                    "hash": slot.sha256,
                    "bootable": slot.state != state.BAD,
                    "pending": slot.state == state.PENDING,
                    "confirmed": slot.state == state.CONFIRMED,
                    "active": slot.index == board.slot,
                    "permanent": False,
                }
            )
    return {"images": images}


def write_state(board, request):
    """Confirm the running package, or choose one for a trial at the next reset."""
    # In pieces: the reply may have to look into a manifest, the choice looks into a key set.
    wanted = _find(blob(request, "hash", _SHA_BYTES)) if "hash" in request else None
    if flag(request, "confirm"):
        _confirm(board, wanted)
    elif wanted is None:
        raise StatusError(smp.RC_INVALID)
    elif wanted.state != state.PENDING:
        if wanted.index == board.slot:
            raise DeviceError(errors.STATE)
        if wanted.state == state.STAGED:  # going back to a confirmed one does not depend on time
            yield from _check_time(board, wanted)
        yield from learn_versions(board)
        _check_floors(board.versions[wanted.sha256])
        check(_tactus.slot_mark(wanted.index, state.PENDING, 0, 0))
    yield
    return (yield from read_state(board, request))


def upload(board, request):
    """Take one chunk; the reply names the offset wanted next. That to the last one comes after the whole check."""
    offset = uint(request, "off")
    data = blob(request, "data")
    uint(
        request, "image", 0, 1, 0
    )  # the field into which smpmgr puts its --slot; we choose the slot
    if flag(request, "upgrade"):
        raise StatusError(smp.RC_NOT_SUPPORTED)  # versions are texts; the security counter decides
    if offset == 0 and ("len" in request or "sha" in request):
        length = uint(request, "len", 1)
        yield
        slot = _begin(board, length, blob(request, "sha", _SHA_BYTES))
    else:
        slot = _under_way(board)
    if _is_wanted(slot, offset):
        if offset + len(data) > slot.length:
            raise StatusError(smp.RC_INVALID)
        yield
        check(_tactus.slot_write(slot.index, offset, data))
    reply = yield from _progress(board, slot.index)
    return reply


def patch(board, request):
    """Make the next bytes out of those of the other slot's package, in pieces; the reply is that of upload()."""
    offset = uint(request, "off")
    ops = blob(request, "ops")
    if offset == 0 and "base" in request:
        length, sha256 = uint(request, "len", 1), blob(request, "sha", _SHA_BYTES)
        slot = _begin(board, length, sha256, _base(blob(request, "base", _BASE_BYTES)))
    else:
        slot = _under_way(board)
    if _is_wanted(slot, offset):
        made = check(_tactus.patch_begin(slot.index)) or _PIECE_BYTES
        while made == _PIECE_BYTES:
            made = _tactus.patch_check(slot.index, ops, _PIECE_BYTES)
            if made in (-errors.ARGUMENT, -errors.SPACE):
                raise StatusError(smp.RC_INVALID)
            check(made)
            yield
        while check(_tactus.patch_step(slot.index, ops, _PIECE_BYTES)):
            yield
    reply = yield from _progress(board, slot.index)
    return reply


def erase(board, request):
    """Empty a slot, by default the one that does not run."""
    default = 1 if board.slot == 0 else 0 if board.slot == 1 else 1
    index = uint(request, "slot", 0, state.SLOTS - 1, default)
    if index == board.slot:
        raise DeviceError(errors.STATE)
    check(_tactus.slot_erase(index))
    return {}


def slot_info(board, request):
    """Tell how large the slots are; both are of the one image there is."""
    size = board.facts["slot_bytes"]
    slots = [{"slot": index, "size": size} for index in range(state.SLOTS)]
    return {"images": [{"image": 0, "slots": slots, "max_image_size": size}]}


def learn_versions(board):
    """Read the versions of the slots' packages that are not known yet; slow, so in pieces and once a package."""
    known = board.versions
    versions = {}
    for slot in state.slots():
        if slot.state not in (state.EMPTY, state.RECEIVING):
            version = known.get(slot.sha256)
            if version is None:
                version = yield from _read_version(slot)
            versions[slot.sha256] = version
    board.versions = versions


def _read_version(slot):
    data = _tactus.slot_data(slot.index)
    try:
        envelope = container.envelope(data)
        yield
        if len(envelope.payload) > schema.BYTES_MAX:
            return _UNKNOWN
        manifest = yield from cbor.decode_in_pieces(envelope.payload, canonical=True)
        version, counter = manifest["version"], manifest["counter"]
        yield
        keys = yield from keyset.parse_in_pieces(container.key_set(data))
        if isinstance(version, str) and len(version) <= _VERSION_MAX and isinstance(counter, int):
            return version, counter, keys.version
    except (ValueError, TypeError, KeyError):
        pass
    return _UNKNOWN


def _find(sha256):
    # A package that failed its trial and was sent again is in both slots, BAD in one.
    bad = None
    for slot in state.slots():
        if slot.sha256 == sha256 and slot.state not in (state.EMPTY, state.RECEIVING):
            if slot.state != state.BAD:
                return slot
            bad = slot
    if bad is None:
        raise DeviceError(errors.NOT_FOUND)
    return bad


def _confirm(board, wanted):
    if board.slot < 0 or (wanted is not None and wanted.index != board.slot):
        raise DeviceError(errors.STATE)
    if state.Slot(board.slot).state != state.CONFIRMED:
        # A person may cut the window short, but not keep what has failed already.
        fault = board.trial.fault() if board.trial else 0
        if fault:
            raise DeviceError(fault)
        check(trial.confirm(board))


def _check_time(board, slot):
    try:
        yield from trust.check_time(_tactus.slot_data(slot.index), board.utc.now_s())
    except Refused as refusal:
        raise DeviceError(refusal.code)


def _base(name):
    # The slot of a package that a patch may be made from: it has been verified and is not to be overwritten.
    for slot in state.slots():
        if slot.sha256[:_BASE_BYTES] == name and slot.state in (state.TRIED, state.CONFIRMED):
            return slot.index
    raise DeviceError(errors.PKG_BASE)


def floor_broken(version):
    """Code of the floor that a package of board.versions is below, 0 when it is below none."""
    _, counter, keys = version
    if counter < _tactus.counter():
        return errors.PKG_COUNTER
    return errors.PKG_KEYSET_OLD if keys < _tactus.key_version() else 0


def _check_floors(version):
    # Said now, not at the trial: the board would restart for nothing.
    code = floor_broken(version)
    if code:
        raise DeviceError(code)


def _begin(board, length, sha256, base=-1):
    # The slot for this file: the one that has it, whole or in part, else the most dispensable one.
    slots = state.slots()
    for slot in slots:
        if slot.length == length and slot.sha256 == sha256:
            if slot.state not in (state.EMPTY, state.BAD):
                board.upload_slot = slot.index
                return slot
            # What a mere reset gave up is all there: nothing is sent, and all of it is verified again.
            if slot.reason == errors.PKG_TRIAL and slot.index not in (board.slot, base):
                check(_tactus.slot_begin(slot.index, length, sha256))
                board.upload_slot = slot.index
                return state.Slot(slot.index)
    best = None
    for slot in slots:
        if slot.index in (board.slot, base):
            continue
        if best is None or _rank(slot) < _rank(best):
            best = slot
    if best is None:  # both are taken: what runs, and a base that does not
        raise DeviceError(errors.PKG_BASE)
    check(_tactus.slot_begin(best.index, length, sha256))
    board.upload_slot = best.index
    return state.Slot(best.index)


def _rank(slot):
    return _GIVE_UP_ORDER.index(slot.state), slot.sequence


def _under_way(board):
    # After a reset the client may go on where it was: the journal knows the slot.
    if board.upload_slot < 0:
        for slot in state.slots():
            if slot.state == state.RECEIVING:
                board.upload_slot = slot.index
    if board.upload_slot < 0:
        raise StatusError(smp.RC_BAD_STATE)
    slot = state.Slot(board.upload_slot)
    if slot.state == state.EMPTY:
        raise StatusError(smp.RC_BAD_STATE)
    return slot


def _is_wanted(slot, offset):
    return slot.state == state.RECEIVING and offset == slot.received < slot.length


def _progress(board, index):
    # A generator: what to send next, or the verdict over the whole file.
    slot = state.Slot(index)
    if slot.state == state.BAD:
        raise DeviceError(slot.reason)
    if slot.state != state.RECEIVING:
        return {"off": slot.length, "match": True}
    if slot.received < slot.length:
        return {"off": slot.received}
    yield
    reply = yield from _finish(board, slot)
    return reply


def _finish(board, slot):
    # A generator: the reply to the last chunk waits for it, and so does every other request.
    code = _tactus.slot_finish(slot.index, _FINISH_BYTES)
    while code == _MORE:
        yield
        code = _tactus.slot_finish(slot.index, _FINISH_BYTES)
    if code == -errors.PKG_DIGEST:
        return {"off": slot.length, "match": False}
    check(code)
    try:
        data = _tactus.slot_data(slot.index)
        yield
        package = yield from packages.verify(data, board.facts, _tactus.counter())
        yield
        yield from trust.check_time(data, board.utc.now_s())
    except Refused as refusal:
        yield  # whoever reads the text may be slow
        log("tactus: upload refused: " + refusal.line())
        yield
        check(_tactus.slot_mark(slot.index, state.BAD, refusal.code, 0))
        raise DeviceError(refusal.code)
    manifest = package.manifest
    board.versions[slot.sha256] = manifest["version"], manifest["counter"], package.key_version
    check(_tactus.slot_mark(slot.index, state.STAGED, 0, 0))
    return {"off": slot.length, "match": True}


NAME = "img mgmt"
READ = {smp.IMAGE_STATE: read_state, smp.IMAGE_SLOT_INFO: slot_info}
WRITE = {smp.IMAGE_STATE: write_state, smp.IMAGE_UPLOAD: upload, smp.IMAGE_ERASE: erase}
