"""A small package with two tasks, as the build would write it, and the key that signs it."""

import struct
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from host.compile.result import BufferPlan, CompiledModel, OpReport, TensorInfo
from host.package.keys import Signer, public_bytes
from host.package.keys_roots import RootKeys
from host.package.keys_set import FOREVER, sign_key_set
from host.package.write import PackageHead, PackageTask, ReplaySource, SelfTestVector, write_package

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ROOT = Ed25519PrivateKey.from_private_bytes(bytes(range(2, 34)))
ROOTS = RootKeys((public_bytes(ROOT),), 1)
SIGNER = Signer(KEY, sign_key_set(1, FOREVER, [public_bytes(KEY)], [], [ROOT]), "a test")
EVIDENCE = b'{"made": "for tests"}\n'
HEAD = PackageHead("demo", "1.2.0", 3, "armv7e-m", ("dsp",))


def plan_image(kernels: int, size: int, fill: int) -> bytes:
    """Bytes with the fields of a plan header that a package reads; no engine would run them."""
    head = struct.pack("<IHHIIIHHII", 0x50434154, 1, 2, size, 64, 320, 1, 1, 4096, kernels)
    return head.ljust(64, b"\0") + bytes([fill]) * (size - 64)


def model(name: str = "motion", kernels: int = 0b101000, size: int = 512) -> CompiledModel:
    return CompiledModel(
        name=name,
        image=plan_image(kernels, size, len(name)),
        arena_bytes=4096,
        arena_lower_bound_bytes=3584,
        pte_bytes=9000,
        input=TensorInfo((1, 60, 1, 6), "int8", 0.0625, -3, 360),
        output=TensorInfo((1, 4), "int8", 1 / 256, -128, 4),
        ops=(
            OpReport(0, "conv2d", "conv1", 1000, 300, (1, 60, 1, 8), 0),
            OpReport(1, "linear", "fc", 100, 40, (1, 4), 1024),
        ),
        buffers=(
            BufferPlan("input", 360, 0, 0, 0),
            BufferPlan("conv1", 480, 0, 1, 368),
            BufferPlan("fc", 4, 1, 1, 0),
        ),
        coverage={"aten.convolution": 1, "aten.linear": 1},
    )


def task(name: str = "motion", **changes: object) -> PackageTask:
    sample = PackageTask(
        name=name,
        model=model(name),
        arena_offset=0,
        period_us=1_000_000,
        deadline_us=500_000,
        policy="abort",
        labels=("standing", "walking", "running", "badminton"),
        source=ReplaySource("motion", 0.001, 60, 10),
        selftests=(SelfTestVector(bytes(360), b"\x01\x02\x03\x04"),),
    )
    return replace(sample, **changes)


def package(**changes: object) -> bytes:
    tasks = (task(), task("digits", model=model("digits", 0b1000, 1001), arena_offset=4096))
    arguments = {"head": HEAD, "tasks": tasks, "evidence": EVIDENCE, "signer": SIGNER} | changes
    return write_package(**arguments)
