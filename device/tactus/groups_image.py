"""SMP group 1, images: the two slots, upload, trial, confirm, erase.

Every request may be repeated: a chunk that was already written is answered with the offset wanted next, a
finished upload with its result, a mark that is already set with the state.
"""

import _tactus

from protocol import errors, keyset, smp
from protocol import manifest as schema
from protocol import package as container
from tactus import package as packages
from tactus import state, trial, trust
from tactus.platform import log
from tactus.refusal import Refused
from tactus.request import DeviceError, StatusError, blob, check, flag, uint

_SHA_BYTES = 32
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
    learn_versions(board)
    images = []
    for slot in state.slots():
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
    wanted = _find(blob(request, "hash", _SHA_BYTES)) if "hash" in request else None
    if flag(request, "confirm"):
        _confirm(board, wanted)
    elif wanted is None:
        raise StatusError(smp.RC_INVALID)
    elif wanted.state != state.PENDING:
        if wanted.index == board.slot:
            raise DeviceError(errors.STATE)
        if wanted.state == state.STAGED:  # going back to a confirmed one does not depend on time
            _check_time(board, wanted)
        learn_versions(board)
        _check_floors(board.versions[wanted.sha256])
        check(_tactus.slot_mark(wanted.index, state.PENDING, 0, 0))
    return read_state(board, request)


def upload(board, request):
    """Take one chunk; the reply names the offset wanted next."""
    offset = uint(request, "off")
    data = blob(request, "data")
    uint(
        request, "image", 0, 1, 0
    )  # the field into which smpmgr puts its --slot; we choose the slot
    if flag(request, "upgrade"):
        raise StatusError(smp.RC_NOT_SUPPORTED)  # versions are texts; the security counter decides
    if offset == 0:
        length = uint(request, "len", 1)
        slot = _begin(board, length, blob(request, "sha", _SHA_BYTES))
    else:
        slot = _under_way(board)
    if slot.state == state.BAD:
        raise DeviceError(slot.reason)
    if slot.state != state.RECEIVING:
        return {"off": slot.length, "match": True}
    if offset == slot.received and slot.received < slot.length:
        if offset + len(data) > slot.length:
            raise StatusError(smp.RC_INVALID)
        check(_tactus.slot_write(slot.index, offset, data))
        slot = state.Slot(slot.index)
    if slot.received < slot.length:
        return {"off": slot.received}
    return _finish(board, slot)


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
    """Read the versions of the slots' packages that are not known yet; slow, so done at boot and once a package."""
    known = board.versions
    board.versions = {}
    for slot in state.slots():
        if slot.state not in (state.EMPTY, state.RECEIVING):
            board.versions[slot.sha256] = known.get(slot.sha256) or _read_version(slot)


def _read_version(slot):
    data = _tactus.slot_data(slot.index)
    try:
        manifest = schema.parse(container.envelope(data).payload)
        keys = keyset.parse(container.key_set(data))
        return manifest["version"], manifest["counter"], keys.version
    except ValueError:
        return "?", 0, 0  # a refused package that cannot even be read


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
        trust.check_time(_tactus.slot_data(slot.index), board.utc.now_s())
    except Refused as refusal:
        raise DeviceError(refusal.code)


def _check_floors(version):
    # Said now, not at the trial: the board would restart for nothing.
    _, counter, keys = version
    if counter < _tactus.counter():
        raise DeviceError(errors.PKG_COUNTER)
    if keys < _tactus.key_version():
        raise DeviceError(errors.PKG_KEYSET_OLD)


def _begin(board, length, sha256):
    # The slot for this file: the one that has it, whole or in part, else the most dispensable one.
    slots = state.slots()
    for slot in slots:
        if slot.length == length and slot.sha256 == sha256:
            if slot.state not in (state.EMPTY, state.BAD):
                board.upload_slot = slot.index
                return slot
    best = None
    for slot in slots:
        if slot.index == board.slot:
            continue
        if best is None or _rank(slot) < _rank(best):
            best = slot
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


def _finish(board, slot):
    code = _tactus.slot_finish(slot.index)
    if code == -errors.PKG_DIGEST:
        return {"off": slot.length, "match": False}
    check(code)
    try:
        data = _tactus.slot_data(slot.index)
        package = packages.verify(data, board.facts, _tactus.counter())
        trust.check_time(data, board.utc.now_s())
    except Refused as refusal:
        log("tactus: upload refused: " + refusal.line())
        check(_tactus.slot_mark(slot.index, state.BAD, refusal.code, 0))
        raise DeviceError(refusal.code)
    manifest = package.manifest
    board.versions[slot.sha256] = manifest["version"], manifest["counter"], package.key_version
    check(_tactus.slot_mark(slot.index, state.STAGED, 0, 0))
    return {"off": slot.length, "match": True}


NAME = "img mgmt"
READ = {smp.IMAGE_STATE: read_state, smp.IMAGE_SLOT_INFO: slot_info}
WRITE = {smp.IMAGE_STATE: write_state, smp.IMAGE_UPLOAD: upload, smp.IMAGE_ERASE: erase}
