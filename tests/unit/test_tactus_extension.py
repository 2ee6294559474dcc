"""`_tactus` on CPython: the C of the boards behind the API of the contract."""

from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.util
import os
import pty
import signal
import struct
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from package_builder import TEST_INPUT, TEST_OUTPUT, plan
from plan_builder import OUTSIDE, Segment
from tactus_api import ATTENTION, FUNCTIONS, STAGED, START, STOPPED, UNTIL

from host.boards import load_board
from host.flash.cpython_ext import build_extension
from host.package.keys import trusted
from protocol import console, errors

BOARD = load_board("host")


@pytest.fixture(scope="session")
def extension_file() -> Path:
    return build_extension(BOARD, *trusted())


@pytest.fixture(scope="session")
def extension(extension_file: Path) -> ModuleType:
    loader = importlib.machinery.ExtensionFileLoader("_tactus", str(extension_file))
    spec = importlib.util.spec_from_loader("_tactus", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)  # not in sys.modules: others test with a double
    loader.exec_module(module)
    return module


@pytest.fixture
def tactus(extension: ModuleType, tmp_path: Path) -> Iterator[Any]:
    assert extension.init(str(tmp_path / "flash.bin")) == 0
    yield extension
    extension.sched_reset()
    extension.init()  # lets go of the file


def stage(tactus: Any, slot: int, data: bytes) -> None:
    digest = hashlib.sha256(data).digest()
    assert tactus.slot_begin(slot, len(data), digest) == 0
    assert tactus.slot_write(slot, 0, data) >= 0
    assert tactus.slot_finish(slot, len(data)) == 0
    assert tactus.slot_mark(slot, STAGED, 0, 0) == 0


def test_the_module_has_every_function_of_the_contract_and_no_other(extension: Any) -> None:
    assert sorted(name for name in dir(extension) if not name.startswith("_")) == FUNCTIONS


def test_the_board_tells_the_facts_of_board_toml(tactus: Any) -> None:
    facts = tactus.board()
    assert facts["name"] == "host" and facts["class"] == BOARD.device_class
    assert facts["features"] == list(BOARD.features)
    assert facts["arena_bytes"] == BOARD.arena_bytes and facts["link_bytes"] == BOARD.link_bytes
    assert facts["slot_bytes"] == BOARD.flash.slot_bytes
    assert facts["background_period_us"] == BOARD.time.background_period_us
    assert facts["scales_with_speed"] is True
    assert facts["kernels"] & 1 == 0 and facts["plan_version"] == 1
    assert tactus.root_keys() == b"".join(trusted()[0].keys) and facts["trust_name"] == trusted()[1]


def test_memory_counts_the_arena_and_what_the_engine_needs(tactus: Any) -> None:
    parts = dict(tactus.memory())
    assert parts["arena"] == BOARD.arena_bytes
    assert parts["link buffers"] >= 2 * BOARD.link_bytes
    assert len(parts) == 7


def test_a_new_flash_file_is_erased_and_of_the_size_of_the_flash(
    tactus: Any, tmp_path: Path
) -> None:
    content = (tmp_path / "flash.bin").read_bytes()
    assert len(content) == BOARD.flash.bytes
    assert set(content[BOARD.flash.slot_offsets[0] :]) == {0xFF}
    assert tactus.replay().nbytes == BOARD.flash.replay_bytes and tactus.replay().readonly


def test_an_upload_is_there_after_the_store_is_opened_again(tactus: Any, tmp_path: Path) -> None:
    data = os.urandom(5000)
    stage(tactus, 1, data)
    assert bytes(tactus.slot_data(1)) == data
    assert tactus.init(str(tmp_path / "flash.bin")) == 0
    state, length, received, reason, _, digest = tactus.slot_info(1)
    assert (length, received, reason) == (5000, 5000, 0)
    assert digest == hashlib.sha256(data).digest()
    assert bytes(tactus.slot_data(1)) == data
    assert tactus.slot_data(1).readonly
    assert state == STAGED


def test_the_flash_file_of_a_running_board_is_refused(
    tactus: Any, extension_file: Path, tmp_path: Path
) -> None:
    code = f"import _tactus; raise SystemExit(-_tactus.init({str(tmp_path / 'flash.bin')!r}))"
    environment = {**os.environ, "PYTHONPATH": str(extension_file.parent)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    assert done.returncode == errors.STATE


def test_what_was_written_survives_sigkill(
    extension_file: Path, tactus: Any, tmp_path: Path
) -> None:
    flash = tmp_path / "other.bin"
    code = (
        "import _tactus, hashlib, os, signal; d = bytes(range(256)) * 9\n"
        f"_tactus.init({str(flash)!r}); _tactus.slot_begin(0, 9999, hashlib.sha256(d).digest())\n"
        "assert _tactus.slot_write(0, 0, d) >= 0; os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = {**os.environ, "PYTHONPATH": str(extension_file.parent)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    at = BOARD.flash.slot_offsets[0]
    assert flash.read_bytes()[at : at + 256 * 9] == bytes(range(256)) * 9


def test_reset_is_exit_code_64_with_everything_printed(extension_file: Path) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": str(extension_file.parent),
        "TACTUS_RESET_CAUSE": "3",
    }
    code = "import _tactus; print('cause', _tactus.reset_cause()); _tactus.reset()"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (64, b"cause 3\n")


def test_a_plan_is_checked_described_and_run(tactus: Any) -> None:
    stage(tactus, 0, plan(wcet_us=77).image())
    image = tactus.slot_data(0)
    assert tactus.plan_check(image, BOARD.arena_bytes) == 0
    assert tactus.plan_check(image, 0) == -errors.PLAN_ARENA
    assert tactus.plan_info(image, 100) == (1, plan().arena_bytes, 6, 6, 77, 77, 1 << 9, 0)
    out = bytearray(6)
    assert tactus.engine_run(image, TEST_INPUT, out) == 6
    assert out == TEST_OUTPUT
    assert tactus.engine_run(image, TEST_INPUT[:-1], out) == -1
    assert tactus.engine_run(image, TEST_INPUT, bytearray(5)) == -2
    assert tactus.plan_info(bytes(64), 100) < 0


def test_the_time_of_a_plan_counts_each_step_of_a_segment(tactus: Any) -> None:
    made = plan(wcet_us=77)
    made.ops[0]["out_h"] = 3
    made.segments.append(Segment(0, [(OUTSIDE, OUTSIDE, 0)], [(0, 2), (0, 1)]))
    stage(tactus, 0, made.image())
    assert tactus.plan_info(tactus.slot_data(0), 77)[4:6] == (154, 77)
    assert tactus.plan_info(tactus.slot_data(0), 76)[4:6] == (154, 0)
    out = bytearray(6)
    assert tactus.engine_run(tactus.slot_data(0), TEST_INPUT, out) == 6
    assert out == TEST_OUTPUT


def test_tasks_are_dispatched_on_the_grid(tactus: Any) -> None:
    stage(tactus, 0, plan(wcet_us=500).image())
    image = tactus.slot_data(0)
    assert tactus.sched_run(1000) == STOPPED
    assert tactus.sched_add(image, 8, 20_000, 20_000, 500, 0, 0) == -1  # arena offset not aligned
    assert tactus.sched_add(image, 16, 20_000, 20_000, 500, 9, 0) == -1  # no such policy
    assert tactus.sched_add(image, 16, 20_000, 20_000, 500, 0, 0) == 0
    assert tactus.sched_start(1000, 1) == 0
    assert tactus.sched_start(1000, 1) == -3
    assert tactus.engine_run(image, TEST_INPUT, bytearray(6)) == -3
    data, output = tactus.sched_input(0, 0), tactus.sched_output(0)
    assert tactus.sched_feed(0) == -3  # nobody asked
    event = tactus.sched_run(90_000)
    for job in range(5):
        assert event == START
        data[:] = TEST_INPUT
        event = tactus.sched_feed(100 + job)
        assert bytes(output) == TEST_OUTPUT
    assert event & 15 == UNTIL
    tactus.sched_stop()
    buf = bytearray(2048)
    size = tactus.sched_results(0, 3, buf)
    assert size == 4 + 3 * 36
    cursor, sequence, tag, job = struct.unpack_from("<4I", buf)
    assert (cursor, sequence, tag, job) == (3, 0, 100, 0)
    assert tactus.sched_stats(0, buf) > 0 and tactus.sched_stats(1, buf) == -errors.NOT_FOUND
    assert tactus.sched_events(buf) > 0


def test_a_painted_arena_shows_how_much_of_it_the_jobs_wrote(tactus: Any) -> None:
    stage(tactus, 0, plan().image())
    image = tactus.slot_data(0)
    for arena_offset in (0, 32):
        assert tactus.sched_add(image, arena_offset, 20_000, 20_000, 100, 0, 0) >= 0
    assert tactus.arena_touched(0) == 0
    assert tactus.sched_start(1000, 1) == 0
    assert [tactus.arena_touched(task) for task in (0, 1, 2)] == [0, 0, 0]
    assert tactus.sched_run(1_000_000) & 15 == START
    for _ in range(2):
        tactus.sched_input(0, 0)[:] = tactus.sched_input(1, 0)[:] = TEST_INPUT
        assert tactus.sched_feed(0) & 15 == START
    output_end = 16 + len(TEST_OUTPUT)  # of 32 planned bytes
    assert [tactus.arena_touched(task) for task in (0, 1, 2)] == [output_end, output_end, 0]
    tactus.sched_stop()
    assert tactus.arena_touched(0) == output_end
    assert tactus.engine_run(image, TEST_INPUT, bytearray(6)) == 6
    assert tactus.arena_touched(0) == 0  # the one-shot run wrote there too


def test_the_dispatcher_lets_other_threads_run(tactus: Any) -> None:
    stage(tactus, 0, plan().image())
    assert tactus.sched_add(tactus.slot_data(0), 0, 900_000, 900_000, 100, 0, 0) == 0
    assert tactus.sched_start(800_000, 1) == 0
    seen: list[float] = []
    other = threading.Thread(target=lambda: (time.sleep(0.02), seen.append(time.monotonic())))
    other.start()
    assert tactus.sched_run(200_000) == UNTIL
    ended = time.monotonic()
    other.join()
    assert seen and seen[0] < ended - 0.05, "the GIL was held while the dispatcher slept"


def test_a_signal_brings_the_dispatcher_back(tactus: Any) -> None:
    stage(tactus, 0, plan().image())
    assert tactus.sched_add(tactus.slot_data(0), 0, 30_000_000, 30_000_000, 100, 0, 0) == 0
    assert tactus.sched_start(20_000_000, 1) == 0
    main = threading.main_thread().ident
    assert main is not None
    timer = threading.Timer(0.1, lambda: signal.pthread_kill(main, signal.SIGINT))
    timer.start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        tactus.sched_run(10_000_000)
    assert time.monotonic() - started < 5


@pytest.fixture
def link(tactus: Any, tmp_path: Path) -> Iterator[int]:
    device, far = pty.openpty()
    tty.setraw(far)
    assert tactus.init(str(tmp_path / "flash.bin"), device) == 0
    yield far
    tactus.init()
    os.close(device)
    os.close(far)


def test_messages_pass_in_both_directions_among_other_text(tactus: Any, link: int) -> None:
    message = os.urandom(700)
    framed = console.encode(message)
    os.write(link, b"boot noise\r\n" + framed[:300])
    time.sleep(0.05)
    assert tactus.link_poll() == 0
    os.write(link, framed[300:] + console.encode(b"second") + b"tail")
    time.sleep(0.05)
    assert tactus.link_poll() == 700
    assert tactus.link_poll() == 700, "the message waits until link_done()"
    assert bytes(tactus.link_rx()[:700]) == message
    tactus.link_done()
    assert tactus.link_poll() == 6
    tactus.link_done()
    tactus.link_tx()[:700] = message
    assert tactus.link_send(700) == 0
    decoder, sent = console.Decoder(), []
    while not sent:  # a terminal hands over what it has so far
        sent = decoder.feed(os.read(link, 4096))
    assert sent == [message]
    assert tactus.link_send(0) == -1 and tactus.link_send(BOARD.link_bytes + 1) == -1
    assert tactus.link_counters() == (2, 0, 0, 0, 1)


def test_messages_behind_the_one_being_served_wait_whole(tactus: Any, link: int) -> None:
    messages = [os.urandom(1000 + n) for n in range(BOARD.link_buffers + 2)]
    os.write(link, b"".join(map(console.encode, messages[: BOARD.link_buffers])))
    for n, message in enumerate(messages):
        size = 0
        while not size:
            size = tactus.link_poll()
        assert size == len(message)
        following = n + BOARD.link_buffers
        if following < len(messages):
            os.write(link, console.encode(messages[following]))
            time.sleep(0.02)
            assert tactus.link_poll() == size, "the one being served stays"
        tactus.link_tx()[:size] = message
        assert tactus.link_send(size) == 0
        assert bytes(tactus.link_rx()[:size]) == message, "nothing that came later touches it"
        tactus.link_done()
        os.read(link, 65536)
    assert tactus.link_poll() == 0
    assert tactus.link_counters() == (len(messages), 0, 0, 0, len(messages))


def test_a_garbled_frame_is_counted_and_dropped(tactus: Any, link: int) -> None:
    framed = bytearray(console.encode(b"x" * 90))
    framed[20] ^= 1
    os.write(link, bytes(framed) + console.encode(b"good"))
    time.sleep(0.05)
    assert tactus.link_poll() == 4
    assert sum(tactus.link_counters()[1:4]) >= 1


def test_received_bytes_end_the_wait_of_the_dispatcher(tactus: Any, link: int) -> None:
    stage(tactus, 0, plan().image())
    assert tactus.sched_add(tactus.slot_data(0), 0, 30_000_000, 30_000_000, 100, 0, 0) == 0
    assert tactus.sched_start(20_000_000, 1) == 0
    threading.Timer(0.05, os.write, [link, console.encode(b"hello")]).start()
    started = time.monotonic()
    assert tactus.sched_run(10_000_000) & 15 == ATTENTION
    assert time.monotonic() - started < 5
    assert tactus.link_poll() == 5


def test_crc16_is_xmodem(tactus: Any) -> None:
    assert tactus.crc16(b"123456789") == 0x31C3
    assert tactus.crc16(b"6789", tactus.crc16(b"12345")) == 0x31C3


def bits(value: np.float32) -> int:
    return int(np.float32(value).view(np.uint32))


@given(
    st.lists(st.integers(-32768, 32767), min_size=1, max_size=64),
    st.floats(2**-20, 2**20, width=32),
    st.floats(2**-20, 2**20, width=32),
    st.integers(-128, 127),
)
def test_quantize_i16_is_float32_arithmetic(
    extension: Any, samples: list[int], lsb: float, scale: float, zero_point: int
) -> None:
    counts = np.array(samples, dtype=np.int16)
    values = counts.astype(np.float32) * np.float32(lsb)
    steps = np.rint(values * (np.float32(1.0) / np.float32(scale)))
    expected = np.clip(np.clip(steps, -1e6, 1e6) + zero_point, -128, 127).astype(np.int8)
    out = bytearray(len(samples))
    count = extension.quantize_i16(
        counts.tobytes(),
        0,
        len(samples),
        bits(np.float32(lsb)),
        bits(np.float32(scale)),
        zero_point,
        out,
    )
    assert count == len(samples)
    assert np.array_equal(np.frombuffer(out, np.int8), expected)


@given(st.lists(st.integers(-32768, 32767), min_size=2, max_size=64), st.floats(0, 2**20, width=32))
def test_scale_i16_is_a_float32_product(extension: Any, samples: list[int], lsb: float) -> None:
    counts, out = np.array(samples, dtype="<i2"), bytearray(4 * len(samples) - 4)
    given = (counts.tobytes(), 1, len(samples) - 1, bits(np.float32(lsb)), out)
    assert extension.scale_i16(*given) == len(samples) - 1
    expected = counts[1:].astype(np.float32) * np.float32(lsb)
    assert np.array_equal(np.frombuffer(out, "<f4"), expected)


def test_scale_i16_refuses_what_is_out_of_bounds(extension: Any) -> None:
    one = bits(np.float32(1))
    assert extension.scale_i16(bytes(8), 0, 4, one, bytearray(16)) == 4
    assert extension.scale_i16(bytes(8), 1, 4, one, bytearray(16)) == -2
    assert extension.scale_i16(bytes(8), 0xFFFFFFFF, 2, one, bytearray(16)) == -2
    assert extension.scale_i16(bytes(8), 0, 4, one, bytearray(15)) == -2
    assert extension.scale_i16(bytes(8), 0, 4, 0x7F800000, bytearray(16)) == -1


def test_quantize_i16_refuses_what_is_out_of_bounds(extension: Any) -> None:
    one, out = bits(np.float32(1)), bytearray(4)
    samples = bytes(8)
    assert extension.quantize_i16(samples, 0, 4, one, one, 0, out) == 4
    assert extension.quantize_i16(samples, 1, 4, one, one, 0, out) == -2
    assert extension.quantize_i16(samples, 0xFFFFFFFF, 2, one, one, 0, out) == -2
    assert extension.quantize_i16(bytes(20), 0, 5, one, one, 0, out) == -2
    for scale in (0, 0x80000000 | one, 0x7F800000, 0x7FC00000, 1):
        assert extension.quantize_i16(samples, 0, 4, one, scale, 0, out) == -1
    assert extension.quantize_i16(samples, 0, 4, 0x7F800000, one, 0, out) == -1
    assert extension.quantize_i16(samples, 0, 4, one, one, 128, out) == -1


def test_wrong_types_and_sizes_raise(tactus: Any) -> None:
    for call in (
        lambda: tactus.slot_begin(0, 1, b"short"),
        lambda: tactus.sched_run(-1),
        lambda: tactus.sched_run(1 << 32),
        lambda: tactus.ed25519_begin(bytes(63), bytes(32)),
        lambda: tactus.ed25519_step(bytearray(100)),
        lambda: tactus.sha256_update(bytearray(100), b""),
        lambda: tactus.slot_data(1),
        lambda: tactus.sched_input(0, 0),
    ):
        with pytest.raises(ValueError):
            call()
    for call in (
        lambda: tactus.sched_run("1"),
        lambda: tactus.crc16("text"),
        lambda: tactus.sched_stats(0, b""),
    ):
        with pytest.raises((TypeError, BufferError)):
            call()
    assert tactus.slot_info(2) == -1


def test_a_bad_signature_is_not_taken(tactus: Any) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    signature = bytearray(key.sign(b"message"))

    def judged() -> tuple[int, int]:
        check = tactus.ed25519_begin(signature, public)
        tactus.ed25519_update(check, b"mess")
        tactus.ed25519_update(check, b"age")
        steps = 1
        while (code := tactus.ed25519_step(check)) == 1:
            steps += 1
        assert tactus.ed25519_step(check) == code, "a verdict does not change"
        return code, steps

    code, steps = judged()
    assert code == 0 and 10 <= steps <= 16
    signature[7] ^= 1
    assert judged()[0] == -errors.PKG_SIGNATURE


def test_sha256_in_parts(tactus: Any) -> None:
    data = bytes(i * 11 & 255 for i in range(300))
    hashing = tactus.sha256_begin()
    for at in range(0, 300, 77):
        tactus.sha256_update(hashing, data[at : at + 77])
    assert tactus.sha256_end(hashing) == hashlib.sha256(data).digest()


def test_boot_ids_differ_and_fit_a_small_integer(tactus: Any) -> None:
    seen = {tactus.boot_id() for _ in range(50)}
    assert len(seen) == 50 and all(0 < boot_id < 1 << 30 for boot_id in seen)


def test_the_temperature_is_that_of_the_hottest_sensor_of_this_computer(tactus: Any) -> None:
    zones = list(Path("/sys/class/thermal").glob("thermal_zone*/temp"))
    value = tactus.temperature_mc()
    assert value is None if not zones else value is None or -60_000 < value < 150_000
    assert tactus.memory_peaks() == (0, 0)  # not measured in a process
