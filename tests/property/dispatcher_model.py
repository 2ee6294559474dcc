"""The dispatcher's rules (protocol/SPEC.md, "Statistics") written a second time, in Python.

Plain lists of what happened to each release; no histograms, no rings, no incremental counters.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

ABORT, SKIP_NEXT, DEGRADE, COUNT_ONLY = range(4)
LONG = 2000  # us of standing overload after which a run is cut off


@dataclass
class Job:
    number: int
    release: int
    phase: str = "pending"  # pending, begun
    ops_done: int = 0
    used: int = 0
    overrun: bool = False
    tag: int = 0


@dataclass
class ModelTask:
    period: int
    deadline: int
    wcets: Sequence[int]
    durations: Sequence[int]
    budget: int
    policy: int
    skip_every: int = 0  # the caller has no input at every n-th START
    next_release: int = 0
    releases: int = 0
    steps: int = 0
    starts_asked: int = 0
    skip_flag: bool = False
    active: Job | None = None
    held: Job | None = None
    # what a test compares
    outcomes: list[str] = field(default_factory=list)  # ok, late, aborted, skipped
    start_latencies: list[int] = field(default_factory=list)
    responses: list[int] = field(default_factory=list)
    executions: list[int] = field(default_factory=list)
    wcet_exceeded: int = 0
    budget_exceeded: int = 0

    def due(self) -> int:
        assert self.active
        return self.active.release + self.deadline

    def close(self, outcome: str, now: int) -> None:
        self.outcomes.append(outcome)
        while self.policy != ABORT and self.next_release < now:
            _release(self)  # it came while the job was still there
        self.active, self.held = self.held, None


def _release(task: ModelTask) -> None:
    job = Job(task.releases, task.next_release)
    task.releases += 1
    task.next_release += task.period
    if task.active and task.policy == ABORT:
        task.close("aborted", 0)
    if not task.active and not task.skip_flag:
        task.active = job
    elif task.policy == COUNT_ONLY and not task.held:
        task.held = job
    else:
        task.skip_flag = False
        task.outcomes.append("skipped")


def _overrun(task: ModelTask, job: Job) -> None:
    job.overrun = True
    task.budget_exceeded += 1
    if task.policy in (SKIP_NEXT, DEGRADE):
        task.skip_flag = True


def simulate(
    tasks: list[ModelTask], until: int, delay: int = 0, prologue: int = 0
) -> list[tuple[int, int, int, bool]]:
    """Run to the first idle instant at or after `until`, or to the first job that ends LONG after it.

    Returns the results (task, job, response, late).
    """
    now, running, results = 0, None, []
    for task in tasks:
        task.next_release = delay
    while True:
        for task in tasks:  # tasks do not influence one another's releases
            while task.next_release <= now:
                _release(task)
            if task.policy == ABORT and task.active and now >= task.due():
                task.close("aborted", 0)
                running = None if running is task else running
        candidates = [task for task in tasks if task.active]
        if running and not running.active:
            running = None
        if not candidates:
            if now >= until:
                return results
            now = min(until, *(task.next_release for task in tasks))
            continue
        task = min(candidates, key=lambda t: (t.due(), t is not running, tasks.index(t)))
        job = task.active
        assert job
        if job.phase == "pending":
            task.starts_asked += 1
            now += prologue
            if task.skip_every and task.starts_asked % task.skip_every == 0:
                task.close("skipped", now)
            else:
                job.phase = "begun"
            continue
        wcet = task.wcets[job.ops_done]
        if not job.overrun and job.used + wcet > task.budget:
            _overrun(task, job)
            if task.policy == ABORT:
                task.close("aborted", 0)
                running = None if running is task else running
                continue
        if job.ops_done == 0:
            task.start_latencies.append(now - job.release)
        duration = task.durations[task.steps % len(task.durations)]
        task.steps += 1
        running = task
        now += duration
        job.used += duration
        job.ops_done += 1
        task.wcet_exceeded += duration > wcet
        if job.ops_done == len(task.wcets):
            if not job.overrun and job.used > task.budget:
                _overrun(task, job)
            late = now > task.due()
            task.responses.append(now - job.release)
            task.executions.append(job.used)
            results.append((tasks.index(task), job.number, now - job.release, late))
            task.close("late" if late else "ok", now)
            running = None
            if now >= until + LONG:
                return results


def worst_window(outcomes: Sequence[str], length: int) -> int:
    """Most misses in any `length` consecutive outcomes."""
    missed = [outcome != "ok" for outcome in outcomes]
    return max((sum(missed[max(0, i - length) : i]) for i in range(1, len(missed) + 1)), default=0)


def jitter(latencies: Sequence[int]) -> int:
    """Largest |start latency - that of the job started before|."""
    return max((abs(b - a) for a, b in pairwise(latencies)), default=0)
