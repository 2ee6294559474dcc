"""The firmware of qemu-m4 on QEMU: boots, keeps time, keeps flash, resets, and obeys Ctrl-C."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from repl import Repl
from tactus_api import FUNCTIONS, STAGED

from host.boards import load_board
from host.flash.emulator import start_emulator, stop_emulator
from host.flash.firmware import build_firmware
from host.package.keys import trusted

pytestmark = pytest.mark.emulated
BOARD = load_board("qemu-m4")
HELLO = b" on qemu-m4\r\n"
POWER_ON, SOFTWARE, WATCHDOG = 1, 2, 3


@pytest.fixture(scope="session")
def firmware() -> Path:
    return build_firmware(BOARD, *trusted())


class Device:
    """One emulated board in its own folder."""

    def __init__(self, firmware: Path, folder: Path) -> None:
        self.firmware, self.folder = firmware, folder
        self.start()

    def start(self) -> None:
        self.status = start_emulator(BOARD, self.firmware, self.folder, with_parent=True)
        self.repl = Repl(self.status.port)

    def kill(self) -> None:
        self.repl.close()
        assert self.status.pid is not None
        os.kill(self.status.pid, signal.SIGKILL)
        os.waitpid(self.status.pid, 0)

    def stop(self) -> None:
        self.repl.close()
        stop_emulator(BOARD, self.folder)


@pytest.fixture
def device(firmware: Path, tmp_path: Path) -> Iterator[Device]:
    device = Device(firmware, tmp_path)
    yield device
    device.stop()


@pytest.fixture(scope="module")
def quiet(firmware: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repl]:
    """The raw REPL of a board that tests share and leave as it is."""
    device = Device(firmware, tmp_path_factory.mktemp("qemu-m4"))
    device.repl.raw()
    device.repl.run("import _tactus, time, gc, micropython, machine; assert _tactus.init() == 0")
    yield device.repl
    device.stop()


def stage(repl: Repl, slot: int, data: bytes) -> None:
    repl.run(f"import _tactus, hashlib; d = {data!r}")
    repl.run(f"assert _tactus.slot_begin({slot}, len(d), hashlib.sha256(d).digest()) == 0")
    repl.run(
        f"assert _tactus.slot_write({slot}, 0, d) >= 0 and _tactus.slot_finish({slot}, 65536) == 0"
    )
    repl.run(f"assert _tactus.slot_mark({slot}, {STAGED}, 0, 0) == 0")


def test_the_board_boots_into_the_loop_and_ctrl_c_gives_the_prompt(device: Device) -> None:
    device.repl.interrupt()
    device.repl.serial.write(b"\x04")  # soft reset: the loop again
    assert HELLO in device.repl.read_until(HELLO)
    assert b">>> " in device.repl.interrupt()


def test_the_module_has_every_function_of_the_contract(quiet: Repl) -> None:
    names = quiet.run_value("sorted(n for n in dir(_tactus) if n[0] != '_')")
    assert names == FUNCTIONS


def test_the_board_tells_the_facts_of_board_toml(quiet: Repl) -> None:
    facts = quiet.run_value("_tactus.board()")
    assert isinstance(facts, dict)
    assert facts["name"] == BOARD.name and facts["features"] == list(BOARD.features)
    assert facts["ram_bytes"] == BOARD.ram_bytes and facts["dispatch_us"] == BOARD.time.dispatch_us
    assert quiet.run_value("_tactus.root_keys()") == b"".join(trusted()[0].keys)


def test_the_memory_table_adds_up_to_the_ram(quiet: Repl) -> None:
    parts = quiet.run_value("_tactus.memory()")
    assert isinstance(parts, list)
    assert sum(size for _, size in parts) == BOARD.ram_bytes, parts
    assert dict(parts)["stacks"] == BOARD.stack_bytes
    assert dict(parts)["interpreter heap"] == BOARD.heap_bytes, parts


def test_the_three_clocks_agree(quiet: Repl) -> None:
    code = """
a, b, c = _tactus.time_us(), _tactus.uptime_ms(), time.ticks_us()
time.sleep_ms(250)
print((_tactus.time_us() - a) & 0x3fffffff, _tactus.uptime_ms() - b, time.ticks_diff(time.ticks_us(), c))
"""
    us, ms, ticks = map(int, quiet.run(code).split())
    assert 250_000 <= us < 270_000
    assert abs(us - 1000 * ms) < 2_000 and abs(us - ticks) < 2_000


def test_the_clock_goes_on_when_its_counter_wraps(quiet: Repl) -> None:
    # Puts the free-running counter 100 ms before zero (which the clock sees as one jump), then sleeps across.
    code = """
machine.mem32[0x40002000] = 2_500_000
a = _tactus.time_us()
time.sleep_ms(300)
print((_tactus.time_us() - a) & 0x3fffffff)
"""
    assert 300_000 <= int(quiet.run(code)) < 320_000


def test_a_sleep_ends_on_time_however_busy_the_computer_is(quiet: Repl) -> None:
    code = """
late = []
for i in range(60):
    a = _tactus.time_us(); time.sleep_ms(7)
    late.append(((_tactus.time_us() - a) & 0x3fffffff) - 7000)
print(max(late), min(late))
"""
    latest, earliest = map(int, quiet.run(code).split())
    assert earliest >= 0 and latest < 500


def test_the_same_work_takes_the_same_time(quiet: Repl) -> None:
    code = """
def work():
    a = _tactus.time_us()
    for i in range(2000): pass
    return (_tactus.time_us() - a) & 0x3fffffff
work()
print([work() for i in range(8)])
"""
    spans = [int(span) for span in quiet.run(code).strip()[1:-1].split(",")]
    assert spans[0] > 1000
    assert max(spans) - min(spans) <= 2, spans


def test_flash_survives_sigkill_and_reset(device: Device) -> None:
    device.repl.raw()
    device.repl.run("import _tactus; assert _tactus.init() == 0")
    data = os.urandom(3000)
    stage(device.repl, 1, data)
    before = device.repl.run_value("_tactus.slot_info(1)")
    device.kill()
    offset = BOARD.flash.slot_offsets[1]
    assert device.status.flash_file.read_bytes()[offset : offset + 3000] == data
    device.start()
    device.repl.raw()
    device.repl.run("import _tactus; assert _tactus.init() == 0")
    assert device.repl.run_value("_tactus.slot_info(1)") == before
    device.repl.start("_tactus.reset()")
    device.repl.read_until(HELLO)
    device.repl.raw()
    device.repl.run("import _tactus; assert _tactus.init() == 0")
    assert device.repl.run_value("bytes(_tactus.slot_data(1))") == data


def test_each_reset_tells_its_cause_and_the_process_stays(device: Device) -> None:
    repl = device.repl
    repl.raw()
    assert repl.run_value("__import__('_tactus').reset_cause()") == POWER_ON
    for call in ("__import__('_tactus').reset()", "__import__('machine').reset()"):
        repl.start(call)
        repl.read_until(HELLO)
        repl.raw()
        assert repl.run_value("__import__('machine').reset_cause()") == SOFTWARE
    repl.run("import machine; dog = machine.WDT(timeout=400)")
    repl.run("import time\nfor i in range(20):\n time.sleep_ms(50); dog.feed()")
    repl.start("while True: pass")
    assert b"watchdog" in repl.read_until(HELLO)
    repl.raw()
    assert repl.run_value("__import__('_tactus').reset_cause()") == WATCHDOG
    assert start_emulator(BOARD, device.firmware, device.folder).pid == device.status.pid


def test_no_two_boots_have_the_same_id(device: Device) -> None:
    seen = set()
    for _ in range(3):  # power cycles
        for _ in range(2):  # a reset each
            device.repl.raw()
            seen.add(device.repl.run_value("__import__('_tactus').boot_id()"))
            device.repl.start("__import__('_tactus').reset()")
            device.repl.read_until(HELLO)
        device.kill()
        device.start()
    assert len(seen) == 6 and all(isinstance(it, int) and 0 < it < 1 << 30 for it in seen)


def peaks(repl: Repl) -> tuple[int, int]:
    found = repl.run_value("_tactus.memory_peaks()")
    assert isinstance(found, tuple) and len(found) == 2
    return found


def test_the_marks_in_heap_and_stack_are_measured_and_never_fall(device: Device) -> None:
    repl = device.repl
    repl.raw()
    repl.run("import _tactus")
    heap, stack = peaks(repl)
    assert 10_000 < heap < BOARD.heap_bytes and 300 < stack < BOARD.stack_bytes
    repl.run("junk = bytearray(20_000)\ndel junk")
    repl.run("def deep():\n deep()\ntry:\n deep()\nexcept RuntimeError:\n pass")  # to the limit
    more_heap, more_stack = peaks(repl)
    assert more_heap >= heap and more_heap >= 20_000
    assert stack < more_stack <= BOARD.stack_bytes and more_stack > BOARD.stack_bytes * 3 // 4
    assert repl.run_value("_tactus.temperature_mc()") is None


def test_a_fault_is_reported_and_ends_in_a_reset(device: Device) -> None:
    device.repl.raw()
    device.repl.start("import machine; machine.mem32[0x90000000]")
    assert b"fault: pc=" in device.repl.read_until(HELLO)


def test_every_byte_value_passes_both_ways(quiet: Repl) -> None:
    quiet.start(
        "import sys, micropython; micropython.kbd_intr(-1)\n"
        "for _ in range(4):\n d = sys.stdin.buffer.read(256); sys.stdout.buffer.write(d)\n"
        "micropython.kbd_intr(3)"
    )
    sent = bytes(range(256)) * 4
    quiet.serial.write(sent)
    received = quiet.read_until(b"\x04\x04>")
    assert received == sent + b"\x04\x04>"


def test_a_reader_that_does_not_read_cannot_stop_the_board(device: Device) -> None:
    repl = device.repl
    repl.raw()
    repl.run("import _tactus; assert _tactus.init() == 0")
    repl.start(
        "m = _tactus.link_tx()\nfor i in range(60): _tactus.link_send(2000)\n_tactus.reset()"
    )
    time.sleep(1.5)  # 160 KB into a port that holds about 12 KB and that nobody reads
    assert repl.serial.in_waiting < 40_000, "nothing was dropped, so this test shows nothing"
    repl.raw()
    assert repl.run_value("__import__('_tactus').reset_cause()") == SOFTWARE


def test_two_boards_run_at_once_and_a_stale_pid_file_is_no_board(
    firmware: Path, tmp_path: Path
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "pid").write_text(f"{os.getpid()} 1\n")  # a living process, but another one
    first, second = Device(firmware, tmp_path / "a"), Device(firmware, tmp_path / "b")
    try:
        assert first.status.pid not in (None, os.getpid(), second.status.pid)
        for device in (first, second):
            device.repl.raw()
        first.repl.run("x = 1")
        assert second.repl.run_value("'x' in globals()") is False
    finally:
        first.stop()
        second.stop()
    assert stop_emulator(BOARD, tmp_path / "a") is False
