"""Power cuts at every flash operation of an update: before it, torn in two ways, and after it.

Each scenario runs once uncut to count its N flash operations, then N x 4 times cut, with a reset after each cut.
A random test cuts many times in a row; it prints its seed, TACTUS_SEED=<seed> replays it.
"""

import hashlib
import os
import random
from collections.abc import Callable

import pytest
from store_library import (
    BAD,
    CONFIRMED,
    CUTS,
    EMPTY,
    ERR_FLASH,
    ERR_PKG_TRIAL,
    PENDING,
    PROVEN,
    RECEIVING,
    STAGED,
    STATES,
    TRIED,
    Board,
)

Step = Callable[[Board], int]
Logical = tuple[tuple[int, int, int, bytes], tuple[int, int, int, bytes], int]

# sector, write unit, slot, package, records written beforehand (so that the journal changes sectors on the way)
GEOMETRIES = [
    pytest.param((512, 1, 9216, 9001, 0), id="sector512-unit1"),
    pytest.param((1024, 16, 10240, 9001, 3), id="sector1024-unit16"),
    pytest.param((256, 256, 5120, 5000, 0), id="sector256-unit256-one-record-a-sector"),
    pytest.param((4096, 4, 16384, 12288, 29), id="sector4096-unit4"),
    pytest.param((8192, 256, 16384, 12001, 27), id="sector8192-unit256"),
]
Geometry = tuple[int, int, int, int, int]
CHUNK = 1500


def package(name: str, size: int) -> bytes:
    # A run of 0xFF in the middle and at the end: erased and programmed cells look the same there.
    data = bytearray(random.Random(name).randbytes(size))
    data[size // 3 : size // 2] = b"\xff" * (size // 2 - size // 3)
    data[-40:] = b"\xff" * 40
    return bytes(data)


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def logical(board: Board) -> Logical:
    a, b = ((s.state, s.reason, s.length, bytes(s.sha256)) for s in (board.slot(0), board.slot(1)))
    return a, b, board.counter


def write_next(slot: int, data: bytes) -> Step:
    def step(board: Board) -> int:
        at = board.slot(slot).received
        return board.write(slot, at, data[at : at + CHUNK])

    return step


def uploading(slot: int, data: bytes, part: float = 1.0) -> list[Step]:
    chunks = -(-len(data) // CHUNK)
    steps: list[Step] = [lambda b: min(b.begin(slot, len(data), sha(data)), 0)]
    return steps + [write_next(slot, data)] * round(chunks * part)


def reset_expecting(slot: int) -> Step:
    def step(board: Board) -> int:
        if board.open() != 0:
            return -1
        chosen = board.select()
        # With the power gone during select() the answer still has to be right.
        assert chosen == slot, f"select() chose {chosen}, not {slot}"
        return ERR_FLASH if board.dead else 0

    return step


def marking(slot: int, state: int, counter: int = 0) -> Step:
    return lambda b: b.mark(slot, state, 0, counter)


def trial(slot: int) -> list[Step]:
    return [marking(slot, PENDING), reset_expecting(slot), marking(slot, TRIED)]


class Scenario:
    """Steps from a prepared board; `packages` are all files that ever reach it, `running` the slot that must last."""

    def __init__(
        self, name: str, geometry: Geometry, prepare: list[Step], steps: list[Step], running: int
    ) -> None:
        sector, unit, slot_bytes, size, age = geometry
        self.name = name
        self.packages = {sha(package(n, size)): package(n, size) for n in "ABC"}
        self.running = running
        self.board = Board(sector, unit, slot_bytes)
        assert self.board.open() == 0
        assert self.board.install(0, package("A", size), 3) == 0
        for _ in range(age):
            code = (
                self.board.begin(1, 7, bytes(32))
                if self.board.state(1) == EMPTY
                else self.board.erase(1)
            )
            assert code == 0
        if self.board.state(1) != EMPTY:
            assert self.board.erase(1) == 0
        for step in prepare:
            assert step(self.board) == 0
        self.steps = steps
        self.spare = Board(sector, unit, slot_bytes, seed=7)

    def fresh(self) -> Board:
        self.spare.copy_from(self.board)
        assert self.spare.open() == 0
        return self.spare


def scenarios(geometry: Geometry) -> list[Scenario]:
    size = geometry[3]
    _a, b, c = (package(name, size) for name in "ABC")
    finish: list[Step] = [lambda board: board.finish(1), marking(1, STAGED)]
    install = [*uploading(1, b), *finish, *trial(1), marking(1, CONFIRMED, 5)]
    spoilt: list[Step] = [
        *uploading(1, b[:-1] + b"\x00"),
        lambda board: board.mark(1, BAD, 35),
    ]
    rollback = [
        marking(0, PENDING),
        reset_expecting(0),
        marking(0, TRIED),
        marking(0, CONFIRMED, 5),
    ]
    second = [*uploading(0, c), lambda board: board.finish(0), marking(0, STAGED), *trial(0)]
    return [
        Scenario("confirm", geometry, [], [*install, reset_expecting(1)], 0),
        Scenario("revert", geometry, [], [*install[:-1], reset_expecting(0)], 0),
        Scenario("install over a bad slot", geometry, spoilt, install, 0),
        Scenario(
            "interrupted upload",
            geometry,
            [],
            [*uploading(1, b, 0.7), reset_expecting(0), *uploading(1, b), *finish],
            0,
        ),
        Scenario("another upload instead", geometry, uploading(1, b, 0.7), uploading(1, c), 0),
        Scenario("go back to the older one", geometry, install, [*rollback, reset_expecting(0)], 1),
        Scenario(
            "third package over the first",
            geometry,
            install,
            [*second, marking(0, CONFIRMED, 9)],
            1,
        ),
    ]


def check(board: Board, packages: dict[bytes, bytes], counter_floor: int, where: str) -> int:
    """All that must hold after a reset; returns the slot to load."""
    assert board.violations == 0, f"{where}: flash rule {board.violations} broken"
    assert board.counter >= counter_floor, f"{where}: counter fell to {board.counter}"
    for i in (0, 1):
        info = board.slot(i)
        content = packages.get(bytes(info.sha256), b"")
        if info.state == RECEIVING:
            there = board.data(i, info.received)
            assert there == content[: info.received], f"{where}: slot {i} claims bytes it lacks"
        elif info.state in (STAGED, PENDING, TRIED, CONFIRMED):
            there = board.data(i, info.length)
            assert sha(there) == bytes(info.sha256), (
                f"{where}: slot {i} {STATES[info.state]}, spoilt"
            )
    was_tried = [board.state(i) == TRIED for i in (0, 1)]
    was_proven = [board.slot(i).reason == PROVEN for i in (0, 1)]
    chosen = board.select()
    assert chosen in (0, 1), f"{where}: nothing to load ({chosen})"
    assert not was_tried[chosen], f"{where}: an unconfirmed trial is loaded again"
    assert board.state(chosen) in (PENDING, CONFIRMED)
    for i in (0, 1):
        if was_tried[i] and was_proven[i]:
            assert board.state(i) == CONFIRMED, where
        elif was_tried[i]:
            assert (board.state(i), board.slot(i).reason) == (BAD, -ERR_PKG_TRIAL), where
    assert CONFIRMED in (board.state(0), board.state(1)), f"{where}: no confirmed package left"
    return chosen


def carry_through(board: Board, slot: int, data: bytes, counter: int) -> None:
    """What a person does next: the same update once more, from whatever state it is in."""
    for _ in range(5):
        state = board.state(slot)
        if bytes(board.slot(slot).sha256) != sha(data) or state in (EMPTY, BAD, RECEIVING):
            code = board.upload(slot, data, 4096)
        elif state == CONFIRMED and board.select() == slot:
            return
        else:
            onward = {STAGED: PENDING, CONFIRMED: PENDING, PENDING: TRIED, TRIED: CONFIRMED}
            code = board.mark(slot, onward[state], 0, counter)
        assert code == 0, f"{STATES[state]}: {code}"
    raise AssertionError(f"stuck in {STATES[board.state(slot)]}")


def run_cut(scenario: Scenario, n: int, kind: int, states: list[Logical]) -> None:
    where = f"{scenario.name}, operation {n}, cut {kind}"
    board = scenario.fresh()
    base = board.operations
    board.guard_slot(scenario.running)
    board.cut(n, kind)
    for k, step in enumerate(scenario.steps):
        before, after = states[k], states[k + 1]
        code = step(board)
        if board.dead:
            break
        assert code == 0, f"{where}: step {k} gave {code}"
    else:
        raise AssertionError(f"{where}: no cut in {board.operations - base} operations")
    assert board.open() == 0
    assert logical(board) in (before, after), f"{where}: step {k} is neither undone nor done"
    # Nothing touches the package that runs, except once another one is confirmed.
    assert board.guarded_operations == 0, f"{where}: the running slot was touched"
    check(board, scenario.packages, before[2], where)
    other = 1 - scenario.running
    target = next(iter(sha for sha in scenario.packages if sha == states[-1][other][3]), None)
    if target is not None:
        carry_through(board, other, scenario.packages[target], 9)
        assert board.open() == 0
        assert board.select() == other
        assert board.violations == 0, where


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_a_power_cut_at_any_flash_operation_of_an_update_loses_nothing(geometry: Geometry) -> None:
    cuts = 0
    for scenario in scenarios(geometry):
        board = scenario.fresh()
        start = board.operations
        states = [logical(board)]
        for step in scenario.steps:
            assert step(board) == 0, scenario.name
            states.append(logical(board))
        count = board.operations - start
        assert count >= 3, "this scenario cuts nothing"
        for n in range(1, count + 1):
            for kind in CUTS:
                run_cut(scenario, n, kind, states)
                cuts += 1
    assert cuts > 300


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_an_upload_resumes_within_one_step_of_where_the_power_failed(geometry: Geometry) -> None:
    sector, unit, slot_bytes, size, _ = geometry
    step = max(sector, 4096)
    data = package("B", size)
    for sent in range(0, size, 700):
        board = Board(sector, unit, slot_bytes)
        assert board.open() == 0
        assert board.begin(1, size, sha(data)) == 0
        assert board.write(1, 0, data[:sent]) == 0
        assert board.begin(1, size, sha(data)) == sent
        assert board.open() == 0
        resumed = board.begin(1, size, sha(data))
        assert sent - step < resumed <= sent
        assert board.upload(1, data, 999) == 0
        assert board.violations == 0


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_a_flash_fault_without_a_reset_is_reported_and_the_upload_goes_on(
    geometry: Geometry,
) -> None:
    sector, unit, slot_bytes, size, _ = geometry
    data = package("B", size)
    for kind in CUTS:
        n = 0
        while True:
            n += 1
            board = Board(sector, unit, slot_bytes)
            assert board.open() == 0
            board.cut(n, kind)
            faults = 0
            while (code := board.upload(1, data, CHUNK)) != 0:
                assert code == ERR_FLASH
                faults += 1
                board.library.nor_power_on(board.nor)
                assert faults == 1
            assert board.state(1) == STAGED
            assert board.data(1, size) == data
            assert board.violations == 0
            if faults == 0:
                break
        assert n > 5


def test_many_random_power_cuts_in_a_row_never_lose_the_confirmed_package() -> None:
    seed = int(os.environ.get("TACTUS_SEED", random.SystemRandom().randrange(2**32)))
    print(f"seed {seed}: replay with TACTUS_SEED={seed}")
    dice = random.Random(seed)
    confirmed = cuts = 0
    for run in range(12):
        sector, unit = dice.choice(
            [(256, 8), (512, 2), (512, 256), (1024, 32), (4096, 4), (8192, 1)]
        )
        slot_bytes = -(-20000 // sector) * sector
        board = Board(sector, unit, slot_bytes, seed=dice.randrange(2**32))
        packages: dict[bytes, bytes] = {}
        counter = 1

        def new_package(packages: dict[bytes, bytes] = packages, size: int = slot_bytes) -> bytes:
            data = package(str(dice.random()), dice.randrange(50, size))
            packages[sha(data)] = data
            return data

        assert board.open() == 0
        assert board.install(0, new_package(), counter) == 0
        data = new_package()
        for boot in range(60):
            where = f"TACTUS_SEED={seed} run {run} boot {boot} sector {sector} unit {unit}"
            assert board.open() == 0, where
            # Cuts hit the boot itself too, so look at a twin that keeps its power.
            twin = Board(sector, unit, slot_bytes)
            twin.copy_from(board)
            assert twin.open() == 0
            floor = counter
            current = check(twin, packages, floor, where)
            counter = twin.counter
            board.cut(dice.randrange(1, 40), dice.choice(CUTS))
            current = board.select()
            assert current in (0, 1), where
            slot = 1 - current
            if board.state(current) == PENDING:
                slot = current
            code = 0
            while code == 0 and not board.dead:
                state = board.state(slot)
                mine = bytes(board.slot(slot).sha256) == sha(data)
                if state == TRIED:
                    code = board.mark(slot, CONFIRMED, 0, counter + 1)
                    if code == 0:
                        counter += 1
                        confirmed += 1
                        slot, data = 1 - slot, new_package()
                elif mine and state in (STAGED, PENDING):
                    code = board.mark(slot, PENDING if state == STAGED else TRIED)
                elif dice.random() < 0.02:
                    code = board.erase(slot)
                else:
                    code = board.upload(slot, data, dice.randrange(1, 3000))
            cuts += board.dead
            assert board.dead or code == 0, f"{where}: {code}"
            assert board.violations == 0, where
    assert cuts > 400
    assert confirmed > 10


def test_journal_sectors_wear_evenly_and_slots_once_an_upload() -> None:
    board = Board(4096, 4, 65536)
    assert board.open() == 0
    data = package("A", 60000)
    for round_ in range(40):
        assert board.install(round_ % 2, data + bytes([round_]), round_) == 0
    journal = [board.wear(board.layout.journal_offset // 4096 + i) for i in (0, 1)]
    slots = [board.wear(board.layout.slot_offset[i] // 4096 + 3) for i in (0, 1)]
    assert slots == [20, 20]
    assert abs(journal[0] - journal[1]) <= 1
    assert max(journal) <= 20
