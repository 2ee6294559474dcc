"""app.toml: one application as values. Strict: every unknown key and wrong value is named."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from host.errors import UsageError
from protocol import manifest

SOURCE_KINDS = ("replay",)
VARIANTS = ("full", "lite")
POST = ("argmax",)
FALLBACKS = ("forbid",)
PRECISIONS = ("int8", "float32")
PERIOD_MAX_US = 2**30 - 1  # the device's loop counts in 31-bit integers
COUNTER_MAX = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Source:
    """Where a task's samples come from: `kind` replay plays the record of that name."""

    kind: str
    record: str


@dataclass(frozen=True, slots=True)
class Task:
    """One periodic inference. Times in microseconds; 0 < budget <= deadline <= period."""

    name: str
    model: str
    period_us: int
    deadline_us: int
    budget_us: int | None
    policy: str
    source: Source
    post: str
    keep_input: bool = False  # a run leaves its input as it was, for some RAM
    precision: str = "int8"  # or float32: the model runs as it is, not quantized
    lite: str | None = None  # the model of the lighter variant
    early_exit: bool | None = (
        None  # use the model's: True insists on one, False drops it, None = if named
    )

    def in_variant(self, variant: str) -> "Task":
        """The same task with the model of a variant, "full" or "lite"; the latter has no early exit."""
        if variant == "lite" and self.lite:
            return replace(self, model=self.lite, early_exit=False)
        return self


@dataclass(frozen=True, slots=True)
class TaskMode:
    """How one task runs in a mode; budgets follow from the variant."""

    period_us: int
    deadline_us: int
    variant: str


@dataclass(frozen=True, slots=True)
class Mode:
    """A task set of its own: one entry for each task of the application, None where it is off."""

    name: str
    tasks: tuple[TaskMode | None, ...]


@dataclass(frozen=True, slots=True)
class TrialLimits:
    """`[trial]`: what a new package must keep before its board keeps it; None = what the board's facts suggest."""

    window_ms: int | None = None
    jobs: int | None = None
    miss_ppm: int | None = None
    overrun_ppm: int | None = None
    link_gap_ms: int | None = None
    start_us: int | None = None


@dataclass(frozen=True, slots=True)
class App:
    """One application: the file it came from, its tasks and its policies."""

    path: Path
    name: str
    version: str
    counter: int
    tasks: tuple[Task, ...]
    fallback: str
    modes: tuple[Mode, ...] = ()  # beside the first, which is the tasks as they are
    trial: TrialLimits = TrialLimits()

    @property
    def model_file(self) -> Path:
        """The Python file that defines the models."""
        return self.path.parent / "model.py"


@dataclass(frozen=True, slots=True)
class _Table:
    """One table of the file: reads keys, complains with its path, and knows what is allowed."""

    file: Path
    path: str
    values: Mapping[str, Any]
    allowed: tuple[str, ...]

    def __post_init__(self) -> None:
        for key in self.values:
            if key not in self.allowed:
                raise UsageError(
                    f"{self._at(key)}: unknown key {key!r}",
                    _choose(key, self.allowed, "allowed here"),
                )

    def _at(self, key: str) -> str:
        return f"{self.file}: {self.path}.{key}" if self.path else f"{self.file}: {key}"

    def wrong(self, key: str, want: str) -> UsageError:
        got = self.values.get(key)
        return UsageError(f"{self._at(key)} is {_shown(got)}", f"set {key} to {want}")

    def _required(self, key: str, want: str) -> Any:
        if key not in self.values:
            raise UsageError(f"{self._at(key)} is missing", f"set {key} to {want}")
        return self.values[key]

    def text(self, key: str, pattern: str, want: str, default: str | None = None) -> str:
        if default is not None and key not in self.values:
            return default
        value = self._required(key, want)
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise self.wrong(key, want)
        return value

    def choice(self, key: str, choices: tuple[str, ...], default: str | None = None) -> str:
        want = "one of: " + ", ".join(choices)
        if default is not None and key not in self.values:
            return default
        value = self._required(key, want)
        if value not in choices:
            near = _choose(value, choices, "allowed")
            raise UsageError(f"{self._at(key)} is {_shown(value)}", near)
        return str(value)

    def whole(self, key: str, low: int, high: int, default: int | None = None) -> int | None:
        if key not in self.values:
            return default
        value = self.values[key]
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.wrong(key, f"a whole number from {low} to {high}")
        return value

    def flag(self, key: str) -> bool:
        value = self.values.get(key, False)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def milliseconds(self, key: str) -> int:
        want = f"a time in milliseconds, 0.1 to {PERIOD_MAX_US // 1000}, such as 50 or 12.5"
        value = self._required(key, want)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.wrong(key, want)
        micros = value * 1000
        if not 100 <= micros <= PERIOD_MAX_US or abs(micros - round(micros)) > 1e-6:
            raise self.wrong(key, want + " (whole microseconds)")
        return round(micros)

    def table(self, key: str, allowed: tuple[str, ...], index: int | None = None) -> "_Table":
        value = self.values.get(key, {})
        if not isinstance(value, dict):
            raise self.wrong(key, f"a table with the keys: {', '.join(allowed)}")
        where = f"{self.path}.{key}" if self.path else key
        return _Table(self.file, where if index is None else f"{where}[{index}]", value, allowed)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _choose(value: object, choices: Iterable[str], label: str) -> str:
    options = list(choices)
    near = get_close_matches(str(value), options, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}{label}: {', '.join(options)}"


_NAME = r"[a-z][a-z0-9_-]{0,14}"
_NAME_WANT = "a name of at most 15 characters: a-z, 0-9, _ and -, a letter first"


_MODEL = r"[A-Za-z]\w{0,63}"
_MODEL_WANT = "the name of a function in model.py"


def _source(task: _Table) -> Source:
    source = task.table("source", ("kind", "record"))
    return Source(
        kind=source.choice("kind", SOURCE_KINDS),
        record=source.text("record", _NAME, f"the name of a record ({_NAME_WANT})"),
    )


def _task(table: _Table) -> Task:
    period_us = table.milliseconds("period_ms")
    deadline_us = table.milliseconds("deadline_ms")
    if deadline_us > period_us:
        raise table.wrong("deadline_ms", f"at most period_ms ({period_us / 1000:g})")
    budget_us = table.whole("budget_us", 1, deadline_us)
    variants = table.table("variants", ("lite",))
    lite = None
    if "lite" in variants.values:
        lite = variants.table("lite", ("model",)).text("model", _MODEL, _MODEL_WANT)
    policy = table.choice("policy", manifest.POLICIES, "skip_next")
    if policy == "degrade" and lite is None:
        raise UsageError(
            f"{table.file}: {table.path}.policy is 'degrade', and there is no lighter variant",
            'add variants = { lite = { model = "..." } } to the task, or choose another policy',
        )
    return Task(
        name=table.text("name", _NAME, _NAME_WANT),
        model=table.text("model", _MODEL, _MODEL_WANT),
        period_us=period_us,
        deadline_us=deadline_us,
        budget_us=budget_us,
        policy=policy,
        source=_source(table),
        post=table.choice("post", POST, "argmax"),
        keep_input=table.flag("keep_input"),
        precision=table.choice("precision", PRECISIONS, "int8"),
        lite=lite,
        early_exit=table.flag("early_exit") if "early_exit" in table.values else None,
    )


def _modes(root: _Table, tasks: tuple[Task, ...]) -> tuple[Mode, ...]:
    names = root.values.get("modes", {})
    modes = root.table("modes", tuple(names) if isinstance(names, dict) else ())
    if len(modes.values) > manifest.MODES_MAX:
        raise UsageError(
            f"{root.file}: has {len(modes.values)} [modes]", f"keep at most {manifest.MODES_MAX}"
        )
    found = []
    for name in modes.values:
        if name == manifest.NORMAL or not re.fullmatch(_NAME, name):
            raise UsageError(
                f"{root.file}: no mode can be called {name!r}",
                f"give it {_NAME_WANT}; {manifest.NORMAL!r} is the tasks as they are",
            )
        mode = modes.table(name, tuple(task.name for task in tasks))
        settings = tuple(_task_mode(mode, task) for task in tasks)
        if not any(settings):
            raise UsageError(f"{root.file}: in modes.{name} no task runs", "leave one of them on")
        found.append(Mode(name, settings))
    return tuple(found)


def _task_mode(mode: _Table, task: Task) -> TaskMode | None:
    if mode.values.get(task.name) == "off":
        return None
    table = mode.table(task.name, ("period_ms", "deadline_ms", "variant"))
    period_us = table.milliseconds("period_ms") if "period_ms" in table.values else task.period_us
    deadline_us = min(task.deadline_us, period_us)
    if "deadline_ms" in table.values:
        deadline_us = table.milliseconds("deadline_ms")
    if deadline_us > period_us:
        raise table.wrong("deadline_ms", f"at most period_ms ({period_us / 1000:g})")
    variant = table.choice("variant", VARIANTS, "full")
    if variant == "lite" and task.lite is None:
        raise UsageError(
            f"{table.file}: {table.path}.variant is 'lite', which {task.name!r} does not have",
            'add variants = { lite = { model = "..." } } to the task',
        )
    return TaskMode(period_us, deadline_us, variant)


def _trial(root: _Table) -> TrialLimits:
    names = ("window_s", "jobs", "miss_ppm", "overrun_ppm", "link_gap_ms", "start_ms")
    table = root.table("trial", names)
    window_s = table.whole("window_s", 0, manifest.WINDOW_MAX_MS // 1000)
    return TrialLimits(
        window_ms=None if window_s is None else 1000 * window_s,
        jobs=table.whole("jobs", 1, 0xFFFF),
        miss_ppm=table.whole("miss_ppm", 0, manifest.MILLION),
        overrun_ppm=table.whole("overrun_ppm", 0, manifest.MILLION),
        link_gap_ms=table.whole("link_gap_ms", 0, 60_000),
        start_us=table.milliseconds("start_ms") if "start_ms" in table.values else None,
    )


_TASK_KEYS = (
    "name",
    "model",
    "period_ms",
    "deadline_ms",
    "budget_us",
    "policy",
    "source",
    "post",
    "keep_input",
    "precision",
    "variants",
    "early_exit",
)


def load_app(path: Path) -> App:
    """Read app.toml, or the one in the folder `path`. Raises UsageError that names the key."""
    file = path / "app.toml" if path.is_dir() else path
    try:
        facts = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"there is no {file}", "name a folder with an app.toml and a model.py"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{file} is not valid TOML: {error}", "correct that line; tasks are [[task]] tables"
        ) from None
    root = _Table(
        file, "", facts, ("name", "version", "counter", "task", "policy", "modes", "trial")
    )
    name = root.text("name", _NAME, _NAME_WANT)
    version = root.text("version", r"[0-9A-Za-z.+-]{1,31}", 'a text such as "1.0.0"')
    counter = root.whole("counter", 0, COUNTER_MAX, 1)
    entries = facts.get("task", [])
    if not isinstance(entries, list) or not 1 <= len(entries) <= manifest.TASKS_MAX:
        raise UsageError(
            f"{file}: has {len(entries) if isinstance(entries, list) else 'no list of'} tasks",
            f"write 1 to {manifest.TASKS_MAX} [[task]] tables",
        )
    tasks = []
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise UsageError(f"{file}: task[{index}] is {_shown(entry)}", "write [[task]] tables")
        tasks.append(_task(_Table(file, f"task[{index}]", entry, _TASK_KEYS)))
    names = [task.name for task in tasks]
    for task_name in names:
        if names.count(task_name) > 1:
            raise UsageError(f"{file}: two tasks are called {task_name!r}", "rename one of them")
    policy = root.table("policy", ("fallback",))
    assert counter is not None
    return App(
        path=file,
        name=name,
        version=version,
        counter=counter,
        tasks=tuple(tasks),
        fallback=policy.choice("fallback", FALLBACKS, "forbid"),
        modes=_modes(root, tuple(tasks)),
        trial=_trial(root),
    )
