"""Writing a package (`.tpk`): protocol/SPEC.md, section "Package".

The same inputs give the same bytes: nothing of the machine or of the time goes in, and Ed25519
signatures are deterministic (RFC 8032).
"""

import hashlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from host.compile.result import CompiledModel, TensorInfo
from host.errors import DoesNotFitError, UsageError
from host.package import canonical
from host.package.keys import Signer, public_bytes
from host.package.keys_set import key_id
from host.package.read import parse_package
from protocol import cose
from protocol import manifest as schema
from protocol import package as layout

_HEADER_ALG, _HEADER_KID, _SIGN1_TAG = 1, 4, 18  # RFC 9052


@dataclass(frozen=True, slots=True)
class ReplaySource:
    """A recorded stream: `window` samples a job, `hop` samples from one to the next.

    `lsb` is the physical value of one count.
    """

    record: str
    lsb: float
    window: int
    hop: int


@dataclass(frozen=True, slots=True)
class SelfTestVector:
    """A quantized input and what the model must answer: both as laid out in the arena."""

    input: bytes
    output: bytes


@dataclass(frozen=True, slots=True)
class PackageTask:
    """One task: a compiled model on a beat. Times in microseconds."""

    name: str
    model: CompiledModel
    arena_offset: int
    period_us: int
    deadline_us: int
    policy: str
    labels: tuple[str, ...]
    source: ReplaySource
    selftests: tuple[SelfTestVector, ...]
    post: str = "argmax"
    lite: "LiteVariant | None" = None
    whole: bool = False  # once begun it runs to its end: what lets it share its arena

    @property
    def arena_bytes(self) -> int:
        """What its variants need; one of them runs at a time."""
        return max(self.model.arena_bytes, self.lite.model.arena_bytes if self.lite else 0)


@dataclass(frozen=True, slots=True)
class LiteVariant:
    """A lighter model for the same input."""

    model: CompiledModel
    selftests: tuple[SelfTestVector, ...]


@dataclass(frozen=True, slots=True)
class PackageMode:
    """A mode beside the normal one: for each task (period, deadline, variant 0 or 1), us, or None for off."""

    name: str
    tasks: tuple[tuple[int, int, int] | None, ...]


@dataclass(frozen=True, slots=True)
class PackageHead:
    """What a package says about itself and about the boards it is for."""

    app: str
    version: str
    counter: int
    device_class: str
    features: tuple[str, ...] = ()


def write_package(
    head: PackageHead,
    tasks: Sequence[PackageTask],
    evidence: bytes,
    signer: Signer,
    limit_bytes: int | None = None,
    modes: Sequence[PackageMode] = (),
    trial: Mapping[str, object] | None = None,
) -> bytes:
    """Build and sign a package. `evidence` is the file that travels beside it; its digest goes in.

    `trial`: thresholds as the manifest has them; None leaves them to the board.

    Models and vectors that are equal are stored once. Raises UsageError for values that the format
    cannot say, DoesNotFitError for a file larger than `limit_bytes` (the slot).
    """
    if not tasks:
        raise UsageError(f"application {head.app!r} has no task", "name at least one in app.toml")
    payloads = _Payloads()
    entries = [_task(task, payloads) for task in tasks]
    kernels = 0
    for task in tasks:
        kernels |= _kernels(task.model.image)
        if task.lite:
            kernels |= _kernels(task.lite.model.image)
    manifest: dict[str, object] = {
        "format": schema.FORMAT,
        "app": head.app,
        "version": head.version,
        "counter": head.counter,
        "target": {
            "class": head.device_class,
            "features": list(head.features),
            "kernels": kernels,
            "plan": schema.PLAN_VERSION,
            "arena_bytes": max(task.arena_offset + task.arena_bytes for task in tasks),
        },
        "tasks": entries,
        "evidence_sha256": hashlib.sha256(evidence).digest(),
    }
    if modes:
        manifest["modes"] = [_mode(mode) for mode in modes]
    if trial:
        manifest["trial"] = dict(trial)
    package = _assemble(manifest, payloads, signer)
    if limit_bytes is not None and len(package) > limit_bytes:
        raise DoesNotFitError(
            f"the package has {len(package)} bytes, a slot of the board {limit_bytes}",
            f"make the models smaller by {len(package) - limit_bytes} bytes",
        )
    return package


def retime_package(package: bytes, times: Mapping[str, tuple[int, int]], signer: Signer) -> bytes:
    """The package with other periods and deadlines, (us, us) by task name, signed anew.

    The models stay byte for byte what they were. Raises PackageError for what is no package.
    """
    info = parse_package(package)
    manifest = dict(info.manifest)
    manifest["tasks"] = [
        dict(task, period_us=times[task["name"]][0], deadline_us=times[task["name"]][1])
        for task in info.manifest["tasks"]
    ]
    if "trial" in manifest:  # start bounds belong to the times they were computed from
        manifest["trial"] = dict(manifest["trial"], start_us=[])
    payloads = _Payloads()
    for payload in info.payloads:
        payloads.add(payload.name, payload.data)
    return _assemble(manifest, payloads, signer)


def resign_package(
    package: bytes,
    changes: Mapping[str, object],
    signer: Signer,
    filler: bytes = b"",
    keep: Sequence[int] | None = None,
) -> bytes:
    """The package with other fields in its manifest, signed anew; `filler` is a payload more that nothing uses.

    `keep`: the payloads that stay, by index, in their order; all by default.

    Raises PackageError for what is no package, UsageError for fields that the format cannot say.
    """
    info = parse_package(package)
    payloads = _Payloads()
    for index, payload in enumerate(info.payloads):
        if keep is None or index in keep:
            payloads.add(payload.name, payload.data)
    if filler:
        payloads.add("filler", filler)
    return _assemble({**info.manifest, **changes}, payloads, signer)


def f32_bits(value: float) -> int:
    """The IEEE-754 single-precision bits of `value`: how a manifest says a real number."""
    bits: int = struct.unpack("<I", struct.pack("<f", value))[0]
    return bits


class _Payloads:
    """The payloads so far; equal content has one index."""

    def __init__(self) -> None:
        self.items: list[tuple[str, bytes]] = []
        self._index: dict[bytes, int] = {}

    def add(self, name: str, data: bytes) -> int:
        digest = hashlib.sha256(data).digest()
        if digest not in self._index:
            self._index[digest] = len(self.items)
            self.items.append((name, data))
        return self._index[digest]

    def entries(self, first_offset: int) -> list[dict[str, object]]:
        entries: list[dict[str, object]] = []
        offset = first_offset
        for name, data in self.items:
            digest = hashlib.sha256(data).digest()
            entries.append({"name": name, "offset": offset, "bytes": len(data), "sha256": digest})
            offset += layout.padded(len(data))
        return entries


def _assemble(manifest: dict[str, object], payloads: _Payloads, signer: Signer) -> bytes:
    """Sign and lay out. Offsets depend on the manifest's size and the other way round: settle them."""
    keys = signer.key_set.ljust(layout.padded(len(signer.key_set)), b"\0")
    offset = layout.HEAD_BYTES + len(keys)
    while True:
        manifest["payloads"] = payloads.entries(offset)
        _validate(manifest)
        envelope = _sign(canonical.encode(manifest), signer.key)
        settled = layout.HEAD_BYTES + layout.padded(len(envelope)) + len(keys)
        if settled == offset:
            break
        # Grows only: a larger offset never makes a shorter encoding, so this ends.
        offset = settled
    body = envelope.ljust(layout.padded(len(envelope)), b"\0") + keys
    body += b"".join(data.ljust(layout.padded(len(data)), b"\0") for _, data in payloads.items)
    total = layout.HEAD_BYTES + len(body)
    sizes = struct.pack("<III", len(envelope), total, len(signer.key_set))
    return layout.MAGIC + sizes + body


def _validate(manifest: dict[str, object]) -> None:
    try:
        schema.validate(manifest)
    except schema.ManifestError as error:
        raise UsageError(
            f"the package cannot say this: {error.path} is {error.rule}",
            "correct it in app.toml or model.py; protocol/SPEC.md, section Manifest, has the limits",
        ) from error


def _sign(manifest: bytes, key: Ed25519PrivateKey) -> bytes:
    """COSE_Sign1 (RFC 9052, 4.2) with algorithm and key id in the protected header."""
    header = {_HEADER_ALG: cose.ALG_EDDSA, _HEADER_KID: key_id(public_bytes(key))}
    protected = canonical.encode(header)
    signature = key.sign(cose.to_be_signed(protected, manifest))
    return canonical.encode_tagged(_SIGN1_TAG, [protected, {}, manifest, signature])


def _kernels(image: bytes) -> int:
    """The bit set of op kinds in the header of a plan image (engine/plan.h)."""
    kinds: int = struct.unpack_from("<I", image, 28)[0]
    return kinds


def _task(task: PackageTask, payloads: _Payloads) -> dict[str, object]:
    model = task.model
    lite = {"lite": _lite(task.name, task.lite, task.whole, payloads)} if task.lite else {}
    return (
        lite
        | _early(model)
        | {
            "name": task.name,
            "plan": payloads.add(model.name, model.image),
            "arena_offset": task.arena_offset,
            "arena_bytes": task.arena_bytes,
            "period_us": task.period_us,
            "deadline_us": task.deadline_us,
            "budget_us": model.budget_us,
            "longest_op_us": model.budget_us if task.whole else model.longest_op_us,
            "policy": task.policy,
            "input": _tensor(model.input),
            "output": _tensor(model.output),
            "labels": list(task.labels),
            "source": {
                "kind": "replay",
                "name": task.source.record,
                "lsb_f32": f32_bits(task.source.lsb),
                "window": task.source.window,
                "hop": task.source.hop,
            },
            "post": task.post,
            "selftest": _selftests(task.name, task.selftests, payloads),
        }
    )


def _early(model: CompiledModel) -> dict[str, object]:
    if model.early is None:
        return {}
    output = _tensor(model.early)
    early = {"mandatory_us": model.mandatory_us, "full_us": model.full_us, "output": output}
    return {"early": early}


def _lite(name: str, lite: LiteVariant, whole: bool, payloads: _Payloads) -> dict[str, object]:
    model = lite.model
    return {
        "plan": payloads.add(model.name, model.image),
        "budget_us": model.budget_us,
        "longest_op_us": model.budget_us if whole else model.longest_op_us,
        "input": _tensor(model.input),
        "output": _tensor(model.output),
        "selftest": _selftests(f"{name}.lite", lite.selftests, payloads),
    }


def _mode(mode: PackageMode) -> dict[str, object]:
    names = ("period_us", "deadline_us", "variant")
    tasks = [dict(zip(names, task, strict=True)) if task else None for task in mode.tasks]
    return {"name": mode.name, "tasks": tasks}


def _selftests(
    name: str, vectors: Sequence[SelfTestVector], payloads: _Payloads
) -> list[dict[str, object]]:
    return [
        {
            "input": payloads.add(f"{name}.selftest{index}", vector.input),
            "output_sha256": hashlib.sha256(vector.output).digest(),
        }
        for index, vector in enumerate(vectors)
    ]


def _tensor(tensor: TensorInfo) -> dict[str, object]:
    return {
        "shape": list(tensor.shape),
        "dtype": tensor.dtype,
        "scale_f32": f32_bits(tensor.scale),
        "zero_point": tensor.zero_point,
    }
