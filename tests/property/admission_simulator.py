"""A discrete-event simulator of EDF with preemption between ops, sharing nothing with the product.

Tasks are (budget, period, deadline, longest op). Each job runs as ops of the longest length and a
remainder. Used to look for a missed deadline as hard as it can.
"""

import random
from collections.abc import Sequence

Task = tuple[int, int, int, int]


def _chunks(budget: int, longest: int) -> list[int]:
    whole, rest = divmod(budget, longest)
    return [longest] * whole + ([rest] if rest else [])


def first_miss(
    tasks: Sequence[Task],
    first_release: Sequence[int],
    horizon: int,
    *,
    stop_when_idle: bool = False,
    background: Sequence[int] = (),
    rng: random.Random | None = None,
    starts: list[int] | None = None,
) -> tuple[int, int] | None:
    """(task, lateness) of the first job that ends late, None if none does before the horizon.

    `background`: lengths of pieces that may start at any idle instant; with `rng` they do so at random
    instants, without it one piece is running when the simulation begins at the earliest release - 1.
    `starts`, one entry a task, is raised to the latest start after a release that was seen.
    """
    upcoming = list(first_release)
    now = min(upcoming)
    ready: list[tuple[int, int, list[int]]] = []
    if background and rng is None:
        now = now - 1 + max(background)
    while now < horizon:
        for index, (budget, period, deadline, longest) in enumerate(tasks):
            while upcoming[index] <= now:
                ready.append((upcoming[index] + deadline, index, _chunks(budget, longest)))
                upcoming[index] += period
        if ready:
            job = min(ready)
            if starts is not None and sum(job[2]) == tasks[job[1]][0]:
                released = job[0] - tasks[job[1]][2]
                starts[job[1]] = max(starts[job[1]], now - released)
            now += job[2].pop(0)
            if not job[2]:
                ready.remove(job)
                if now > job[0]:
                    return job[1], now - job[0]
            continue
        if stop_when_idle and now > max(first_release):
            return None
        gap = min(upcoming) - now
        if background and rng is not None and rng.random() < 0.7:
            now += rng.randrange(gap) + rng.choice(background)
        else:
            now += gap
    return None


def attack(tasks: Sequence[Task], rng: random.Random, phasings: int = 10) -> tuple[int, int] | None:
    """Tries every task as the blocker one tick ahead of a common release, then random offsets."""
    horizon = 40 * max(task[1] for task in tasks)
    offsets = [[-1 if i == j else 0 for i in range(len(tasks))] for j in range(len(tasks))]
    offsets.append([0] * len(tasks))
    for first_release in offsets:
        miss = first_miss(tasks, first_release, horizon, stop_when_idle=True)
        if miss:
            return miss
    for _ in range(phasings):
        first_release = [rng.randrange(task[1]) for task in tasks]
        miss = first_miss(tasks, first_release, horizon)
        if miss:
            return miss
    return None


def latest_starts(tasks: Sequence[Task], rng: random.Random, phasings: int = 10) -> list[int]:
    """Per task, the latest start seen: every task as the blocker ahead of the others, each of which
    in turn comes later than a common release, then random offsets."""
    starts = [0] * len(tasks)
    horizon = 40 * max(task[1] for task in tasks)
    for blocker in range(len(tasks)):
        for late, (_, period, deadline, _) in enumerate(tasks):
            shifts = {0, *(other[2] - deadline for other in tasks), rng.randrange(period)}
            for shift in shifts:
                offsets = [0] * len(tasks)
                offsets[late] = max(0, shift)
                offsets[blocker] = -1
                first_miss(tasks, offsets, horizon, stop_when_idle=True, starts=starts)
    for _ in range(phasings):
        offsets = [rng.randrange(task[1]) for task in tasks]
        first_miss(tasks, offsets, horizon, starts=starts)
    return starts


def random_tasks(rng: random.Random, most: int = 4, longest_period: int = 40) -> list[Task]:
    """A set with a fair chance to be admitted."""
    count = rng.randint(1, most)
    tasks = []
    for _ in range(count):
        period = rng.randint(4, longest_period)
        budget = min(period, rng.randint(1, max(1, period // count + 1)))
        tasks.append(
            (budget, period, rng.randint(budget, period), rng.randint(1, budget)),
        )
    return tasks
