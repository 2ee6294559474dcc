"""Rules of the two slots that need no power cut: moves, refusals, progress, the counter."""

import ctypes
import hashlib
import random

import pytest
from store_library import (
    BAD,
    CONFIRMED,
    EMPTY,
    ERR_ARGUMENT,
    ERR_FLASH,
    ERR_NOT_FOUND,
    ERR_PKG_COUNTER,
    ERR_PKG_DIGEST,
    ERR_PKG_KEYSET_OLD,
    ERR_PKG_TRIAL,
    ERR_SPACE,
    ERR_STATE,
    PENDING,
    RECEIVING,
    STAGED,
    TRIED,
    Board,
    Floors,
    Layout,
    c_uint32,
)

from protocol import errors

DATA = random.Random(1).randbytes(9001)
OTHER = random.Random(2).randbytes(12000)


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def new_board(sector: int = 1024, unit: int = 16, slot: int = 16384) -> Board:
    board = Board(sector, unit, slot)
    assert board.open() == 0
    return board


def test_an_empty_flash_has_nothing_to_load() -> None:
    board = new_board()
    assert board.select() == ERR_NOT_FOUND
    assert (board.state(0), board.state(1), board.counter) == (EMPTY, EMPTY, 0)
    assert board.operations == 0


def test_opening_and_selecting_a_settled_store_writes_nothing() -> None:
    board = new_board()
    assert board.install(0, DATA, 1) == 0
    before = board.operations
    assert board.open() == 0
    assert board.select() == 0
    assert board.operations == before


@pytest.mark.parametrize("unit", [1, 2, 4, 8, 16, 256])
@pytest.mark.parametrize("chunk", [1, 7, 93, 147, 256, 1000, 9001])
def test_a_file_arrives_whole_in_chunks_of_any_size(unit: int, chunk: int) -> None:
    board = new_board(unit=unit)
    assert board.upload(1, DATA, chunk) == 0
    assert board.data(1, len(DATA)) == DATA
    assert board.data(1, len(DATA) + -len(DATA) % unit)[len(DATA) :] == b"\xff" * (
        -len(DATA) % unit
    )
    assert board.violations == 0


def test_two_uploads_at_once_share_the_tail_without_mixing_bytes() -> None:
    board = new_board(unit=256)
    files = [DATA, OTHER]
    dice = random.Random(3)
    for slot, data in enumerate(files):
        assert board.begin(slot, len(data), sha(data)) == 0
    for turn in range(150):
        slot = dice.randrange(2)
        data, at = files[slot], board.slot(slot).received
        assert board.write(slot, at, data[at : at + dice.randrange(1, 400)]) == 0
        if turn == 70:
            assert board.open() == 0
            for i in (0, 1):
                got = board.slot(i).received
                assert got % 4096 == 0 and board.data(i, got) == files[i][:got]
    for slot, data in enumerate(files):
        assert board.upload(slot, data, 500) == 0
        assert board.data(slot, len(data)) == data
    assert board.violations == 0


def test_a_record_about_one_slot_claims_no_more_of_the_other_than_a_reset_leaves() -> None:
    board = new_board()
    assert board.begin(0, len(DATA), sha(DATA)) == 0
    assert board.write(0, 0, DATA[:5003]) == 0
    assert board.begin(1, len(OTHER), sha(OTHER)) == 0
    assert board.open() == 0
    assert board.slot(0).received == 4096
    assert board.state(1) == RECEIVING
    assert board.upload(0, DATA, 777) == 0
    assert board.violations == 0


def test_the_running_slots_refuse_uploads_and_erasing() -> None:
    board = new_board()
    assert board.install(0, DATA, 1) == 0
    for slot, states in ((0, [CONFIRMED]), (1, [TRIED, CONFIRMED])):
        if slot == 1:
            assert board.upload(1, OTHER, 999) == 0
            assert board.mark(1, PENDING) == 0
        for state in states:
            if slot == 1:
                assert board.mark(1, state, 0, 1) == 0
            board.guard_slot(slot)
            assert board.begin(slot, len(DATA), sha(b"x")) == ERR_STATE
            assert board.erase(slot) == ERR_STATE
            assert board.write(slot, len(DATA), b"x") == ERR_STATE
            assert board.guarded_operations == 0
    # Slot 1 is now the newest; slot 0, confirmed before it, may go.
    assert board.select() == 1
    assert board.begin(0, len(OTHER), sha(OTHER)) == 0
    assert board.select() == 1


def test_only_the_documented_moves_are_legal() -> None:
    ways: dict[int, list[int]] = {
        EMPTY: [],
        RECEIVING: [],
        STAGED: [STAGED],
        PENDING: [STAGED, PENDING],
        TRIED: [STAGED, PENDING, TRIED],
        CONFIRMED: [STAGED, PENDING, TRIED, CONFIRMED],
        BAD: [BAD],
    }
    legal = {
        STAGED: {PENDING, BAD},
        PENDING: {STAGED, TRIED, BAD},
        TRIED: {CONFIRMED, BAD},
        CONFIRMED: {BAD},
        RECEIVING: {BAD},
    }
    for start, way in ways.items():
        for target in range(8):
            board = new_board()
            if start != EMPTY:
                assert board.begin(1, len(DATA), sha(DATA)) == 0
                assert board.write(1, 0, DATA) == 0
            if way and way[0] == STAGED:
                assert board.finish(1) == 0
            for state in way:
                assert board.mark(1, state, 9, 0) == 0
            allowed = target in legal.get(start, set())
            assert board.mark(1, target, 9, 0) == (0 if allowed else ERR_STATE), (start, target)
            wanted = target if allowed else start
            assert board.state(1) == wanted
            assert board.open() == 0
            assert board.state(1) == wanted


def test_staged_needs_finish_and_finish_needs_every_byte() -> None:
    board = new_board()
    assert board.finish(1) == ERR_STATE
    assert board.begin(1, len(DATA), sha(DATA)) == 0
    assert board.write(1, 0, DATA[:-1]) == 0
    assert board.finish(1) == ERR_STATE
    assert board.write(1, len(DATA) - 1, DATA[-1:]) == 0
    assert board.mark(1, STAGED) == ERR_STATE
    assert board.finish(1) == 0
    assert board.mark(1, STAGED) == 0


def test_a_wrong_digest_makes_the_slot_bad_and_an_upload_starts_anew() -> None:
    board = new_board()
    assert board.begin(1, len(DATA), sha(OTHER)) == 0
    assert board.write(1, 0, DATA) == 0
    assert board.finish(1) == ERR_PKG_DIGEST
    assert (board.state(1), board.slot(1).reason) == (BAD, -ERR_PKG_DIGEST)
    assert board.begin(1, len(DATA), sha(OTHER)) == 0
    assert board.upload(1, DATA, 999) == 0


def test_at_most_one_slot_is_on_its_way_in() -> None:
    board = new_board()
    assert board.upload(0, DATA, 999) == 0
    assert board.upload(1, OTHER, 999) == 0
    assert board.mark(0, PENDING) == 0
    assert board.mark(1, PENDING) == ERR_STATE
    assert board.mark(0, TRIED) == 0
    assert board.mark(1, PENDING) == ERR_STATE
    assert board.open() == 0
    assert board.select() == ERR_NOT_FOUND
    assert board.slot(0).reason == -ERR_PKG_TRIAL
    assert board.mark(1, PENDING) == 0
    assert board.select() == 1


def test_the_key_set_version_rises_with_the_counter_and_falls_as_little() -> None:
    board = Board(4096, 4, 16384)
    assert board.open() == 0
    data = bytes(range(100))
    for slot, counter, version in ((0, 5, 2), (1, 5, 3)):
        assert board.upload(slot, data + bytes([slot]), 64) == 0
        before = (board.counter, board.key_version)
        for state in (PENDING, TRIED):
            assert board.mark(slot, state, 0, 99, 99) == 0
            assert (board.counter, board.key_version) == before
        assert board.mark(slot, CONFIRMED, 0, counter, version) == 0
        assert board.open() == 0
        assert (board.counter, board.key_version) == (counter, version)
    for state in (PENDING, TRIED):
        assert board.mark(0, state) == 0
    assert board.mark(0, CONFIRMED, 0, 9, 2) == ERR_PKG_KEYSET_OLD
    assert board.mark(0, CONFIRMED, 0, 4, 9) == ERR_PKG_COUNTER
    assert (board.counter, board.key_version) == (5, 3)
    assert board.state(0) == TRIED
    null = ctypes.POINTER(Floors)()
    assert board.library.tac_store_mark(ctypes.byref(board.store), 0, CONFIRMED, 0, null) < 0
    assert board.mark(0, CONFIRMED, 0, 5, 3) == 0


def test_the_security_counter_rises_on_confirm_only_and_never_falls() -> None:
    board = new_board()
    assert board.install(0, DATA, 7) == 0
    assert board.upload(1, OTHER, 999) == 0
    assert board.mark(1, PENDING, 0, 99) == 0
    assert board.mark(1, TRIED, 0, 99) == 0
    assert board.counter == 7
    assert board.mark(1, CONFIRMED, 0, 6) == ERR_PKG_COUNTER
    assert board.state(1) == TRIED
    assert board.mark(1, CONFIRMED, 0, 7) == 0
    assert board.erase(0) == 0
    assert board.open() == 0
    assert board.counter == 7


def test_the_older_confirmed_package_can_be_tried_again_but_not_the_running_one() -> None:
    board = new_board()
    assert board.install(0, DATA, 1) == 0
    assert board.install(1, OTHER, 1) == 0
    assert board.mark(1, PENDING) == ERR_STATE
    assert board.mark(0, PENDING) == 0
    assert board.select() == 0
    assert board.mark(0, TRIED) == 0
    assert board.mark(0, CONFIRMED, 0, 1) == 0
    assert board.select() == 0


def test_a_reset_on_the_way_back_loses_neither_package() -> None:
    board = new_board()
    assert board.install(0, DATA, 1) == 0
    assert board.install(1, OTHER, 1) == 0
    for _ in range(2):
        assert board.mark(0, PENDING) == 0
        assert board.mark(0, TRIED) == 0
        assert board.open() == 0
        assert board.select() == 1
        assert (board.state(0), board.state(1), board.slot(0).reason) == (CONFIRMED, CONFIRMED, 0)
        assert board.open() == 0
        assert board.select() == 1
        assert board.erase(1) == ERR_STATE
    assert board.mark(0, PENDING) == 0
    assert board.mark(0, TRIED) == 0
    assert board.select(errors.TRIAL_WATCHDOG) == 1  # that one was its own doing
    assert (board.state(0), board.slot(0).reason) == (BAD, errors.TRIAL_WATCHDOG)


def given_up_by_a_reset() -> Board:
    board = new_board()
    assert board.install(0, DATA, 1) == 0
    assert board.upload(1, OTHER, 999) == 0
    assert board.mark(1, PENDING) == 0
    assert board.mark(1, TRIED) == 0
    assert board.open() == 0
    assert board.select() == 0
    return board


def test_what_a_reset_gave_up_need_not_be_sent_again_but_is_hashed() -> None:
    board = given_up_by_a_reset()
    assert board.begin(1, len(OTHER), sha(OTHER)) == len(OTHER)
    assert (board.finish(1), board.mark(1, STAGED)) == (0, 0)

    board = given_up_by_a_reset()
    at = board.layout.slot_offset[1] + 5
    board.load(at, bytes([board.read(at, 1)[0] ^ 1]))
    assert board.begin(1, len(OTHER), sha(OTHER)) == len(OTHER)
    assert (board.finish(1), board.state(1)) == (ERR_PKG_DIGEST, BAD)
    assert board.begin(1, len(OTHER), sha(OTHER)) == 0  # this time it has to be sent


@pytest.mark.parametrize("code", [errors.TRIAL_WATCHDOG, errors.PKG_DIGEST, errors.PKG_SELFTEST])
def test_what_was_bad_of_itself_is_sent_again(code: int) -> None:
    board = new_board()
    assert board.upload(1, OTHER, 999) == 0
    assert board.mark(1, BAD, code) == 0
    assert board.begin(1, len(OTHER), sha(OTHER)) == 0


def test_a_reset_does_not_make_another_package_whole() -> None:
    board = given_up_by_a_reset()
    assert board.begin(1, len(OTHER), sha(DATA)) == 0
    board = given_up_by_a_reset()
    assert board.begin(1, len(OTHER) - 1, sha(OTHER)) == 0


def test_a_confirmed_package_found_spoilt_gives_way_to_the_older_one() -> None:
    board = new_board()
    assert board.install(0, DATA, 1) == 0
    assert board.install(1, OTHER, 1) == 0
    assert board.mark(1, BAD, 35) == 0
    assert board.select() == 0


def test_arguments_out_of_range_are_refused_and_change_nothing() -> None:
    board = new_board()
    assert board.begin(2, 10, sha(b"")) == ERR_ARGUMENT
    assert board.begin(0, 0, sha(b"")) == ERR_ARGUMENT
    assert board.begin(0, 16385, sha(b"")) == ERR_SPACE
    assert board.begin(0, 10, sha(b"")) == 0
    assert board.write(2, 0, b"x") == ERR_ARGUMENT
    assert board.write(0, 1, b"x") == ERR_ARGUMENT
    assert board.write(0, 0, b"x" * 11) == ERR_SPACE
    assert board.write(0, 0, b"") == 0
    assert board.mark(2, BAD, 1) == ERR_ARGUMENT
    assert board.mark(0, BAD, 0) == ERR_ARGUMENT
    assert board.finish(2) == board.erase(2) == ERR_ARGUMENT
    assert board.library.tac_store_data(ctypes.byref(board.store), 2) is None
    assert (board.state(0), board.slot(0).received) == (RECEIVING, 0)


def test_layouts_that_overlap_leave_the_flash_or_split_sectors_are_refused() -> None:
    board = new_board(
        sector=1024, slot=4096
    )  # journal at 1024, slots at 4096 and 9216, 14336 bytes
    good = (1024, 4096, 9216, 4096)
    bad = [
        (1025, 4096, 9216, 4096),  # not on a sector
        (13312, 4096, 9216, 4096),  # second journal sector outside
        (3072, 4096, 9216, 4096),  # journal over slot 0
        (1024, 4096, 4096, 4096),  # one slot twice
        (1024, 4096, 7168, 4096),  # slots overlap
        (1024, 4096, 10241, 4096),
        (1024, 4096, 11264, 4096),  # slot 1 ends outside
        (1024, 4096, 0xFFFFFC00, 4096),  # and wraps
        (1024, 4096, 9216, 0),
        (1024, 4096, 9216, 1000),
    ]
    for journal, slot0, slot1, size in [good, *bad]:
        board.layout = Layout(journal, (c_uint32 * 2)(slot0, slot1), size)
        expected = 0 if (journal, slot0, slot1, size) == good else ERR_ARGUMENT
        assert board.open() == expected, (journal, slot0, slot1, size)
    for unit in (0, 3, 512):
        assert Board(1024, unit, 4096).open() == ERR_ARGUMENT


def test_a_torn_record_that_turns_readable_later_is_not_believed() -> None:
    """Cells half programmed when the power fails may read as garbage once and right the next time."""
    board = Board(256, 8, 4096)  # two records a sector
    journal = board.layout.journal_offset
    assert board.open() == 0
    assert board.begin(0, 10, sha(b"a")) == 0  # sector 0
    assert board.erase(0) == 0
    assert board.begin(0, 10, sha(b"b")) == 0  # sector 1, first half
    twin = Board(256, 8, 4096)
    twin.copy_from(board)
    assert twin.open() == 0
    assert twin.erase(0) == 0  # the complete record in the second half of sector 1
    whole = twin.read(journal + 384, 128)
    board.cut(1, 1)
    assert board.erase(0) != 0
    assert board.open() == 0
    assert board.state(0) == RECEIVING
    assert board.mark(0, BAD, 9) == 0  # sector 0 again
    board.load(journal + 384, whole)
    assert board.open() == 0
    assert (board.state(0), board.slot(0).reason) == (BAD, 9)


def test_a_worn_cell_in_the_journal_is_noticed_and_stepped_over() -> None:
    board = new_board(sector=4096)
    assert board.install(0, DATA, 5) == 0
    place = board.layout.journal_offset + board.store.journal_fill
    board.library.nor_stick(board.nor, place + 9)
    assert board.begin(1, len(OTHER), sha(OTHER)) == ERR_FLASH
    assert board.state(1) == EMPTY
    assert board.begin(1, len(OTHER), sha(OTHER)) == 0
    assert board.open() == 0
    assert (board.state(1), board.counter, board.select()) == (RECEIVING, 5, 0)
    assert board.violations == 0
