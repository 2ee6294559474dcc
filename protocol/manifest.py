"""The manifest of a package: schema and every rule that needs nothing but the manifest itself.

SPEC.md, section "Manifest", has the CDDL. Unknown keys are refused: a manifest of a later format has another
`format` number. Whether it suits a board is the board's business (tactus/package.py).
"""

from protocol import cbor
from protocol.pieces import finish

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

FORMAT = 1
PLAN_VERSION = 1
TASKS_MAX = 4
PAYLOADS_MAX = 64
SELFTESTS_MAX = 16
LABELS_MAX = 64
ELEMENTS_MAX = 1 << 20
BYTES_MAX = 8192  # of the manifest itself: a board holds two of them, decoded, on its heap
SIZE_MAX = 1 << 24  # bytes of a payload, arena or package
TIME_MAX_US = (1 << 30) - 1  # a small integer on MicroPython
ALIGN = 16
POLICIES = ("abort", "skip_next", "degrade", "count_only")  # index = enum tac_policy
RESERVED_NAMES = ("link", "loop")  # taken in the statistics group
MODES_MAX = 3  # beside the first, which is the task set as it is
NORMAL = "normal"  # its name
WINDOW_MAX_MS = 3_600_000
MILLION = 1_000_000
# Of a manifest without one.
TRIAL_DEFAULT: "dict[str, object]" = {
    "window_ms": 10_000,
    "jobs": 1,
    "miss_ppm": 1000,
    "overrun_ppm": 10_000,
    "link_gap_ms": 1000,
    "start_us": [],
}

_UINT32_MAX = (1 << 32) - 1
_F32_SMALLEST = 0x00800000  # bits of the smallest and largest normal float32
_F32_LARGEST = 0x7F7FFFFF
_F32_ONE = 0x3F800000

_TOP = ("format", "app", "version", "counter", "target", "tasks", "payloads", "evidence_sha256")
_TARGET = ("class", "features", "kernels", "plan", "arena_bytes")
_TASK = (
    "name",
    "plan",
    "arena_offset",
    "arena_bytes",
    "period_us",
    "deadline_us",
    "budget_us",
    "longest_op_us",
    "policy",
    "input",
    "output",
    "labels",
    "source",
    "post",
    "selftest",
)
_EARLY = ("mandatory_us", "full_us", "output")
_LITE = ("plan", "budget_us", "longest_op_us", "input", "output", "selftest")
_MODE = ("name", "tasks")
_TIMING = ("period_us", "deadline_us", "variant")
_TENSOR = ("shape", "dtype", "scale_f32", "zero_point")
_SOURCE = ("kind", "name", "lsb_f32", "window", "hop")
_SELFTEST = ("input", "output_sha256")
_TRIAL = ("window_ms", "jobs", "miss_ppm", "overrun_ppm", "link_gap_ms", "start_us")
_PAYLOAD = ("name", "offset", "bytes", "sha256")


class ManifestError(ValueError):
    """The manifest breaks a rule; `path` names the field, as in `tasks[0].period_us`."""

    def __init__(self, path: str, rule: str) -> None:
        super().__init__("%s: %s" % (path or "manifest", rule))
        self.path = path
        self.rule = rule


def parse(data: "bytes | bytearray | memoryview") -> "dict[str, object]":
    """Decode and validate. Raises ManifestError, also for bytes that are not deterministic CBOR."""
    return finish(parse_in_pieces(data))


def parse_in_pieces(
    data: "bytes | bytearray | memoryview",
) -> "Generator[None, None, dict[str, object]]":
    """parse() as work in pieces."""
    if len(data) > BYTES_MAX:
        raise ManifestError("", "more than %d bytes" % BYTES_MAX)
    try:
        value = yield from cbor.decode_in_pieces(data, canonical=True, floats=False)
    except cbor.CborError as error:
        raise ManifestError("", "not deterministic CBOR: %s" % error)
    yield
    manifest = yield from validate_in_pieces(value)
    return manifest


def validate(value: object) -> "dict[str, object]":
    """Check a decoded manifest against the schema; return it unchanged. Raises ManifestError."""
    return finish(validate_in_pieces(value))


def validate_in_pieces(value: object) -> "Generator[None, None, dict[str, object]]":
    """validate() as work in pieces."""
    top = _record(value, "", _TOP, ("modes", "trial"))
    yield
    _uint(top, "", "format", FORMAT, FORMAT)
    _name(top, "", "app", 32)
    _name(top, "", "version", 32)
    _uint(top, "", "counter", 0, _UINT32_MAX)
    _digest(top, "", "evidence_sha256")
    yield
    arena_bytes = _target(_record(top["target"], "target", _TARGET))
    payloads = _array(top, "", "payloads", 1, PAYLOADS_MAX)
    for i in range(len(payloads)):
        yield
        _payload(payloads[i], "payloads[%d]" % i)
    tasks = _array(top, "", "tasks", 1, TASKS_MAX)
    names: list[object] = list(RESERVED_NAMES)
    for i in range(len(tasks)):
        path = "tasks[%d]" % i
        task = _record(tasks[i], path, _TASK, ("lite", "early"))
        yield
        yield from _task(task, path, len(payloads), arena_bytes)
        if task["name"] in names:
            raise ManifestError(path + ".name", "taken or reserved")
        names.append(task["name"])
    if "modes" in top:
        yield
        yield from _modes(_array(top, "", "modes", 1, MODES_MAX), tasks)
    if "trial" in top:
        yield
        _trial(_record(top["trial"], "trial", _TRIAL), len(tasks))
    return top


def trial_of(manifest: "dict[str, object]") -> "dict[str, object]":
    """Thresholds of the trial of a validated manifest."""
    trial = manifest.get("trial")
    return trial if isinstance(trial, dict) else TRIAL_DEFAULT


def mode_names(manifest: "dict[str, object]") -> "list[str]":
    """Names of the modes of a validated manifest, the first for the task set as it is."""
    return [NORMAL] + [str(mode["name"]) for mode in _maps(manifest, "modes")]


def mode_count(manifest: "dict[str, object]") -> int:
    """Number of modes of a validated manifest, at least 1."""
    return 1 + len(_maps(manifest, "modes"))


def mode_timings(
    manifest: "dict[str, object]", mode: int
) -> "list[tuple[int, int, int, int, int]]":
    """(period, deadline, budget, longest op, variant) of each task in a mode, us; all 0 when it is off."""
    tasks = _maps(manifest, "tasks")
    settings = tasks if mode == 0 else _maps(_maps(manifest, "modes")[mode - 1], "tasks")
    timings = []
    for i in range(len(tasks)):
        own, model, variant = settings[i], tasks[i], 0
        if own is None:
            timings.append((0, 0, 0, 0, 0))
            continue
        if own.get("variant", 0) == 1 and isinstance(model["lite"], dict):
            model, variant = model["lite"], 1
        times = (_number(own, "period_us"), _number(own, "deadline_us"))
        timings.append(
            times + (_number(model, "budget_us"), _number(model, "longest_op_us"), variant)
        )
    return timings


def _maps(record: "dict[str, object]", key: str) -> "list[dict[str, object]]":
    value = record.get(key)
    return value if isinstance(value, list) else []


def _number(record: "dict[str, object]", key: str) -> int:
    value = record[key]
    return value if isinstance(value, int) else 0


def elements(tensor: "dict[str, object]") -> int:
    """Number of elements of a validated tensor."""
    count = 1
    shape = tensor["shape"]
    if isinstance(shape, list):
        for size in shape:
            count *= size
    return count


def tensor_bytes(tensor: "dict[str, object]") -> int:
    """Bytes of a validated tensor."""
    return elements(tensor) * (4 if tensor["dtype"] == "float32" else 1)


def answer_bytes(model: "dict[str, object]") -> int:
    """Bytes of all outputs of a validated task's or lite variant's plan: the final answer, the early one."""
    tensors = [model["output"]]
    early = model.get("early")
    if isinstance(early, dict):
        tensors.append(early["output"])
    return sum([tensor_bytes(tensor) for tensor in tensors if isinstance(tensor, dict)])


def _target(target: "dict[str, object]") -> int:
    _name(target, "target", "class", 32)
    features = _array(target, "target", "features", 0, 16)
    for i in range(len(features)):
        _check_name(features[i], "target.features", i, 32)
        if features[i] in features[:i]:
            raise ManifestError("target.features[%d]" % i, "named twice")
    _uint(target, "target", "kernels", 1, _UINT32_MAX)
    _uint(target, "target", "plan", 0, _UINT32_MAX)
    return _uint(target, "target", "arena_bytes", 1, SIZE_MAX)


def _payload(value: object, path: str) -> None:
    payload = _record(value, path, _PAYLOAD)
    _name(payload, path, "name", 64)
    offset = _uint(payload, path, "offset", ALIGN, SIZE_MAX)
    if offset % ALIGN:
        raise ManifestError(path + ".offset", "not a multiple of %d" % ALIGN)
    _uint(payload, path, "bytes", 1, SIZE_MAX)
    _digest(payload, path, "sha256")


def _task(
    task: "dict[str, object]", path: str, payloads: int, arena_bytes: int
) -> "Generator[None, None, None]":
    _name(task, path, "name", 24)
    _uint(task, path, "plan", 0, payloads - 1)
    offset = _uint(task, path, "arena_offset", 0, arena_bytes)
    if offset % ALIGN:
        raise ManifestError(path + ".arena_offset", "not a multiple of %d" % ALIGN)
    _uint(task, path, "arena_bytes", 1, arena_bytes - offset)
    period = _uint(task, path, "period_us", 1, TIME_MAX_US)
    deadline = _uint(task, path, "deadline_us", 1, period)
    budget = _uint(task, path, "budget_us", 1, deadline)
    _uint(task, path, "longest_op_us", 1, budget)
    _choice(task, path, "policy", POLICIES)
    yield
    inputs = _tensor(task["input"], path + ".input")
    yield
    outputs = _tensor(task["output"], path + ".output")
    yield
    labels = _array(task, path, "labels", 0, LABELS_MAX)
    for i in range(len(labels)):
        if i % 6 == 5:
            yield
        _check_text(labels[i], path + ".labels", i, 32)
    if labels and len(labels) != outputs:
        raise ManifestError(path + ".labels", "neither empty nor one for each output element")
    yield
    _source(task["source"], path + ".source", inputs)
    _choice(task, path, "post", ("argmax",))
    yield
    yield from _selftests(task, path, payloads)
    if "lite" in task:
        yield
        lite = _record(task["lite"], path + ".lite", _LITE)
        yield from _lite(lite, path + ".lite", payloads, budget, (inputs, outputs))
    if "early" in task:
        yield
        early = _record(task["early"], path + ".early", _EARLY)
        _early(early, path + ".early", budget, task["output"])


def _early(early: "dict[str, object]", path: str, budget: int, final: object) -> None:
    _uint(early, path, "mandatory_us", 1, budget)
    _uint(early, path, "full_us", budget, TIME_MAX_US)
    _tensor(early["output"], path + ".output")
    own = early["output"]
    if isinstance(own, dict) and isinstance(final, dict):
        if (own["shape"], own["dtype"]) != (final["shape"], final["dtype"]):
            raise ManifestError(path + ".output", "of another shape or type than the final output")


def _lite(
    lite: "dict[str, object]", path: str, payloads: int, budget: int, sizes: "tuple[int, int]"
) -> "Generator[None, None, None]":
    _uint(lite, path, "plan", 0, payloads - 1)
    own = _uint(lite, path, "budget_us", 1, budget)
    _uint(lite, path, "longest_op_us", 1, own)
    if (
        _tensor(lite["input"], path + ".input"),
        _tensor(lite["output"], path + ".output"),
    ) != sizes:
        raise ManifestError(path, "tensors of another size than the full variant's")
    yield
    yield from _selftests(lite, path, payloads)


def _modes(modes: "list[object]", tasks: "list[object]") -> "Generator[None, None, None]":
    names: list[object] = [NORMAL]
    for i in range(len(modes)):
        path = "modes[%d]" % i
        mode = _record(modes[i], path, _MODE)
        _name(mode, path, "name", 24)
        if mode["name"] in names:
            raise ManifestError(path + ".name", "taken or reserved")
        names.append(mode["name"])
        timings = _array(mode, path, "tasks", len(tasks), len(tasks))
        for j in range(len(tasks)):
            yield
            if timings[j] is not None:
                _timing(timings[j], "%s.tasks[%d]" % (path, j), tasks[j])
        if all(timing is None for timing in timings):
            raise ManifestError(path + ".tasks", "no task runs")


def _timing(value: object, path: str, task: object) -> None:
    timing = _record(value, path, _TIMING)
    variant = _uint(timing, path, "variant", 0, 1)
    if not isinstance(task, dict) or (variant and "lite" not in task):
        raise ManifestError(path + ".variant", "the task has no lite variant")
    budget = task["lite"]["budget_us"] if variant else task["budget_us"]
    period = _uint(timing, path, "period_us", 1, TIME_MAX_US)
    _uint(timing, path, "deadline_us", budget, period)


def _trial(trial: "dict[str, object]", tasks: int) -> None:
    _uint(trial, "trial", "window_ms", 0, WINDOW_MAX_MS)
    _uint(trial, "trial", "jobs", 0, 0xFFFF)
    _uint(trial, "trial", "miss_ppm", 0, MILLION)
    _uint(trial, "trial", "overrun_ppm", 0, MILLION)
    _uint(trial, "trial", "link_gap_ms", 0, 60_000)
    starts = _array(trial, "trial", "start_us", 0, tasks)
    if len(starts) not in (0, tasks):
        raise ManifestError("trial.start_us", "neither empty nor one for each task")
    for i in range(len(starts)):
        _check_int(starts[i], "trial.start_us", i, 0, TIME_MAX_US)


def _selftests(
    task: "dict[str, object]", path: str, payloads: int
) -> "Generator[None, None, None]":
    tests = _array(task, path, "selftest", 0, SELFTESTS_MAX)
    for i in range(len(tests)):
        if i % 2:
            yield
        test_path = "%s.selftest[%d]" % (path, i)
        test = _record(tests[i], test_path, _SELFTEST)
        _uint(test, test_path, "input", 0, payloads - 1)
        _digest(test, test_path, "output_sha256")


def _tensor(value: object, path: str) -> int:
    tensor = _record(value, path, _TENSOR)
    shape = _array(tensor, path, "shape", 1, 6)
    for i in range(len(shape)):
        _check_int(shape[i], path + ".shape", i, 1, 0xFFFF)
        # Checked dimension by dimension, so that the product stays small.
        if elements({"shape": shape[: i + 1]}) > ELEMENTS_MAX:
            raise ManifestError(path + ".shape", "more than %d elements" % ELEMENTS_MAX)
    _choice(tensor, path, "dtype", ("int8", "float32"))
    _uint(tensor, path, "scale_f32", _F32_SMALLEST, _F32_LARGEST)
    _check_int(tensor["zero_point"], path, "zero_point", -128, 127)
    if tensor["dtype"] == "float32" and (tensor["scale_f32"], tensor["zero_point"]) != (
        _F32_ONE,
        0,
    ):
        raise ManifestError(path + ".scale_f32", "not 1 with zero point 0, as float32 has it")
    return elements(tensor)


def _source(value: object, path: str, inputs: int) -> None:
    source = _record(value, path, _SOURCE)
    _choice(source, path, "kind", ("replay",))
    _name(source, path, "name", 16)
    _uint(source, path, "lsb_f32", _F32_SMALLEST, _F32_LARGEST)
    window = _uint(source, path, "window", 1, inputs)
    if inputs % window:
        raise ManifestError(path + ".window", "does not divide the model's input")
    _uint(source, path, "hop", 1, TIME_MAX_US)


def _record(
    value: object, path: str, keys: "tuple[str, ...]", optional: "tuple[str, ...]" = ()
) -> "dict[str, object]":
    if not isinstance(value, dict):
        raise ManifestError(path, "not a map")
    for key in keys:
        if key not in value:
            raise ManifestError(_join(path, key), "missing")
    if len(value) != len(keys) + sum([key in value for key in optional]):
        for key in value:
            if key not in keys and key not in optional:
                raise ManifestError(_join(path, str(key)), "not a key of this format")
    return value


def _array(record: "dict[str, object]", path: str, key: str, low: int, high: int) -> "list[object]":
    value = record[key]
    if not isinstance(value, list) or not low <= len(value) <= high:
        raise ManifestError(_join(path, key), "not an array of %d to %d items" % (low, high))
    return value


def _uint(record: "dict[str, object]", path: str, key: str, low: int, high: int) -> int:
    return _check_int(record[key], path, key, low, high)


def _check_int(value: object, path: str, key: "str | int", low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ManifestError(_join(path, key), "not an integer from %d to %d" % (low, high))
    return value


def _choice(record: "dict[str, object]", path: str, key: str, choices: "tuple[str, ...]") -> None:
    if not isinstance(record[key], str) or record[key] not in choices:
        raise ManifestError(_join(path, key), "not one of: " + ", ".join(choices))


def _digest(record: "dict[str, object]", path: str, key: str) -> None:
    value = record[key]
    if not isinstance(value, bytes) or len(value) != 32:
        raise ManifestError(_join(path, key), "not a SHA-256 of 32 bytes")


def _name(record: "dict[str, object]", path: str, key: str, size_max: int) -> None:
    _check_name(record[key], path, key, size_max)


def _check_name(value: object, path: str, key: "str | int", size_max: int) -> None:
    # Not character by character: a board looks each up among its interned strings.
    raw = _check_text(value, path, key, size_max).encode()
    if min(raw) < 0x21 or max(raw) > 0x7E:
        raise ManifestError(_join(path, key), "not printable ASCII without spaces")


def _check_text(value: object, path: str, key: "str | int", size_max: int) -> str:
    if not isinstance(value, str) or not 1 <= len(value.encode()) <= size_max:
        raise ManifestError(_join(path, key), "not a text of 1 to %d bytes" % size_max)
    return value


def _join(path: str, key: "str | int") -> str:
    # Only where a rule is broken: each new text is looked for room on a board's full heap.
    if isinstance(key, int):
        return "%s[%d]" % (path, key)
    return "%s.%s" % (path, key) if path else key
