"""The dispatcher's rules (protocol/SPEC.md, "Statistics") written a second time, in Python.

Plain lists of what happened to each release; no histograms, no rings, no incremental counters.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

ABORT, SKIP_NEXT, DEGRADE, COUNT_ONLY = range(4)
HOLD = 16  # TAC_DEGRADE_HOLD
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
    variant: int = 0
    started: bool = False
    end: int = 0  # of the last op


@dataclass
class ModelTask:
    period: int
    deadline: int
    wcets: Sequence[int]
    durations: Sequence[int]
    budget: int
    policy: int
    lite_wcets: Sequence[int] = ()  # a lighter variant, when there is one
    lite_durations: Sequence[int] = ()
    mandatory: int = 0  # ops of the full variant that make the early answer; 0: no early exit
    modes: Sequence[
        tuple[int, int, int, int] | None
    ] = ()  # (period, deadline, budget, variant) of mode 1, 2, ...
    whole: bool = False  # from START to its end no other job runs
    skip_every: int = 0  # the caller has no input at every n-th START
    next_release: int = 0
    releases: int = 0
    steps: int = 0
    starts_asked: int = 0
    skip_flag: bool = False
    degraded: bool = False
    room: int = 0
    mode_variant: int = 0
    off: bool = False
    lite_steps: int = 0
    active: Job | None = None
    held: Job | None = None
    # what a test compares
    outcomes: list[str] = field(default_factory=list)  # ok, late, aborted, skipped
    start_latencies: list[int] = field(default_factory=list)
    responses: list[int] = field(default_factory=list)
    executions: list[int] = field(default_factory=list)
    wcet_exceeded: int = 0
    budget_exceeded: int = 0
    lite_done: int = 0
    early_done: int = 0
    base: tuple[int, int, int, int] | None = None
    start_breaks: list[int] = field(default_factory=list)  # where a new grid began
    went_lite: int = 0
    came_back: int = 0
    restarted: int = 0
    kept_waiting: int = 0  # times that a job of an earlier deadline waited for one that runs whole

    def ends_early(self, now: int) -> bool:
        """Whether a job in its optional part has no room for its next op."""
        job = self.active
        if not job or job.variant or not self.mandatory or job.ops_done < self.mandatory:
            return False
        wcet = self.wcets[job.ops_done]
        return job.used + wcet > self.budget or now + wcet > self.due()

    def due(self) -> int:
        assert self.active
        return self.active.release + self.deadline

    def close(self, outcome: str, now: int) -> None:
        self.outcomes.append(outcome)
        while not self.off and self.policy != ABORT and self.next_release < now:
            _release(self)  # it came while the job was still there
        self.active, self.held = self.held, None


def _release(task: ModelTask) -> None:
    job = Job(task.releases, task.next_release)
    job.variant = 1 if task.degraded else task.mode_variant
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


def _go_lite(task: ModelTask, job: Job) -> bool:
    if task.policy != DEGRADE or job.variant or not task.lite_wcets:
        return False
    task.went_lite += not task.degraded
    task.degraded, task.room = True, 0
    return True


def _overrun(task: ModelTask, job: Job) -> bool:
    """Whether the job starts again, lite."""
    task.budget_exceeded += 1
    if _go_lite(task, job):
        if job.used + sum(task.lite_wcets) <= task.budget:
            task.restarted += 1
            job.variant, job.ops_done, job.phase = 1, 0, "pending"
            return True
    elif task.policy in (SKIP_NEXT, DEGRADE):
        task.skip_flag = True
    job.overrun = True
    return False


def _settle_degrade(task: ModelTask, job: Job, response: int) -> None:
    """A finished job of a task that may degrade."""
    if response > task.deadline:
        _go_lite(task, job)
    if not job.variant:
        if task.degraded and job.used - task.budget > task.budget - sum(task.lite_wcets):
            task.skip_flag = True
    elif task.degraded and not task.mode_variant:
        fits = response + max(0, task.budget - job.used) <= task.deadline
        task.room = task.room + 1 if fits and not job.overrun else 0
        if task.room == HOLD:
            task.degraded, task.room = False, 0
            task.came_back += 1


def _complete(tasks: list[ModelTask], task: ModelTask) -> tuple[int, int, int, bool]:
    """The active job has its answer. Returns the result."""
    job = task.active
    assert job
    if not job.overrun and job.used > task.budget:
        _overrun(task, job)  # over its budget already: cannot start again
    response, late = job.end - job.release, job.end > task.due()
    if task.policy == DEGRADE:
        _settle_degrade(task, job, response)
    task.lite_done += job.variant
    task.responses.append(response)
    task.executions.append(job.used)
    task.close("late" if late else "ok", job.end)
    return tasks.index(task), job.number, response, late


def _change_mode(tasks: list[ModelTask], mode: int, now: int) -> None:
    for task in tasks:
        timing = task.modes[mode - 1] if mode else task.base
        task.off = timing is None
        task.skip_flag = False
        task.start_breaks.append(len(task.start_latencies))
        if timing is not None:
            task.period, task.deadline, task.budget, task.mode_variant = timing
            task.next_release = now


def simulate(
    tasks: list[ModelTask],
    until: int,
    delay: int = 0,
    prologue: int = 0,
    wishes: Sequence[tuple[int, int]] = (),
) -> list[tuple[int, int, int, bool]]:
    """Run to the first idle instant at or after `until`, or to the first job that ends LONG after it.

    wishes: (instant, mode), rising; each is made at the first START or idle end at or after its instant, as the test
    does. Returns the results (task, job, response, late).
    """
    now, running, results = 0, None, []
    holding: Job | None = None  # runs whole, and has been asked for its input
    mode = wanted = 0
    left = list(wishes)
    for task in tasks:
        task.next_release = delay
        task.base = (task.period, task.deadline, task.budget, 0)
    while True:
        early = [task for task in tasks if task.ends_early(now)]
        for task in early:  # first: a job that is complete meets no release
            results.append(_complete(tasks, task))
            task.early_done += 1
            running = None if running is task else running
        for task in tasks:  # tasks do not influence one another's releases
            while not task.off and task.next_release <= now:
                _release(task)
            if task.policy == ABORT and task.active and now >= task.due():
                task.close("aborted", 0)
                running = None if running is task else running
        if early and now >= until + LONG:
            return results
        candidates = [task for task in tasks if task.active]
        if running and not running.active:
            running = None
        if not any(task.active is holding for task in tasks):
            holding = None
        if not candidates:
            if wanted != mode:
                _change_mode(tasks, wanted, now)
                mode = wanted
                if now < until:
                    continue
            if now >= until:
                return results
            now = min([until] + [task.next_release for task in tasks if not task.off])
            continue
        task = min(candidates, key=lambda t: (t.due(), t is not running, tasks.index(t)))
        if holding and task.active is not holding:
            task.kept_waiting += 1
            task = next(task for task in tasks if task.active is holding)
        job = task.active
        assert job
        if job.phase == "pending":
            if task.whole:
                holding = job
            task.starts_asked += 1
            now += prologue
            while left and left[0][0] <= now:
                wanted = left.pop(0)[1]
            if task.skip_every and task.starts_asked % task.skip_every == 0:
                task.close("skipped", now)
            else:
                job.phase = "begun"
            continue
        wcets = task.lite_wcets if job.variant else task.wcets
        wcet = wcets[job.ops_done]
        if not job.overrun and job.used + wcet > task.budget:
            if _overrun(task, job):
                holding = None  # its input is asked for again, in turn
                continue
            if task.policy == ABORT:
                task.close("aborted", 0)
                running = None if running is task else running
                continue
        if not job.started:
            job.started = True
            task.start_latencies.append(now - job.release)
        if job.variant:
            duration = task.lite_durations[task.lite_steps % len(task.lite_durations)]
            task.lite_steps += 1
        else:
            duration = task.durations[task.steps % len(task.durations)]
            task.steps += 1
        running = task
        now += duration
        job.used += duration
        job.end = now
        job.ops_done += 1
        task.wcet_exceeded += duration > wcet
        if job.ops_done == len(wcets):
            results.append(_complete(tasks, task))
            running = None
            if now >= until + LONG:
                return results


def worst_window(outcomes: Sequence[str], length: int) -> int:
    """Most misses in any `length` consecutive outcomes."""
    missed = [outcome != "ok" for outcome in outcomes]
    return max((sum(missed[max(0, i - length) : i]) for i in range(1, len(missed) + 1)), default=0)


def jitter(latencies: Sequence[int], breaks: Sequence[int] = ()) -> int:
    """Largest |start latency - that of the job started before|, within one grid."""
    ends = sorted({0, *breaks, len(latencies)})
    grids = [latencies[begin:end] for begin, end in pairwise(ends)]
    return max((abs(b - a) for grid in grids for a, b in pairwise(grid)), default=0)
