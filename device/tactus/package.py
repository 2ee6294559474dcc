"""Deciding whether a package may run on this board: every check in order, the first failure decides.

The order puts trust first: nothing of the manifest is believed before its signature is checked, and no plan
image is handed to the engine before its digest is.
"""

import _tactus

from protocol import errors
from protocol import manifest as schema
from protocol import package as container
from protocol.admission import admit_in_pieces, inflate, input_us, with_input
from protocol.pieces import finish
from tactus import sources, trust
from tactus.refusal import Refused, require

_DIGEST_BYTES = 2048  # hashed in one piece: some 6 ms of a 25 MHz Cortex-M4


class Package:
    """A verified package, read in place: `data` is the whole file, `manifest` the decoded map.

    `key_version` is the version of its key set.
    """

    def __init__(self, data, manifest, key_version):
        self.data = data
        self.manifest = manifest
        self.key_version = key_version

    def payload(self, index):
        """View of a payload."""
        return container.payload(self.data, self.manifest, index)


def verify(data, facts, counter):
    """Check a whole package file against a board's facts and security counter, in pieces (protocol.pieces).

    data: memoryview, 16-byte aligned. Returns a Package; raises Refused. Costs one pass of SHA-256 over the file, one
    Ed25519 check for it and one for each signature of its key set, and the admission test. No piece may take as
    long as the board declares for its background; tests/emulated/test_update_on_the_beat.py watches them.
    """
    package = yield from _open(data, facts)
    manifest = package.manifest
    yield
    _check_target(manifest, facts, counter)
    yield
    yield from _check_arenas(manifest, facts)
    yield from _check_digests(package)
    for task in manifest["tasks"]:
        yield from _check_model(package, task, task, facts)
        if "lite" in task:
            yield from _check_model(package, task, task["lite"], facts)
    yield from _check_schedule(manifest, facts, 1)
    image = _tactus.replay()
    for task in manifest["tasks"]:
        yield
        yield from sources.check(task, image)
    return package


def runs_whole(task):
    """Whether a task is admitted as never preempted, and so is not."""
    return task["longest_op_us"] == task["budget_us"]


def check_schedule(manifest, facts, speed):
    """Admission of every mode with this board's costs; periods and deadlines divided by `speed`. Raises Refused."""
    finish(_check_schedule(manifest, facts, speed))


def _check_schedule(manifest, facts, speed):
    for mode in range(schema.mode_count(manifest)):
        yield
        tasks = []
        for index, timing in enumerate(schema.mode_timings(manifest, mode)):
            yield
            period, deadline, budget, longest, _ = timing
            if period > 0:
                timing = (budget, period // speed, deadline // speed, longest)
                tasks.append(with_input(timing, _input_us(manifest["tasks"][index], facts)))
        yield
        tasks = inflate(
            tasks,
            facts["dispatch_us"],
            facts["lockout_us"],
            facts["background_us"],
            facts["background_period_us"],
            facts["gc_us"],
            facts["gc_period_us"],
        )
        yield
        verdict = yield from admit_in_pieces(tasks)
        if not verdict.admitted:
            raise Refused(
                errors.PKG_SCHEDULE,
                "mode %s: %s, task %d at %d us, slack %d us"
                % (
                    schema.mode_names(manifest)[mode],
                    verdict.reason,
                    verdict.task,
                    verdict.at_us,
                    verdict.slack_us,
                ),
            )


def _input_us(task, facts):
    restarts = task["policy"] == "degrade" and "lite" in task
    samples = schema.elements(task["input"])
    return input_us(samples, facts["sample_ns"], facts["dispatch_us"], restarts)


def _open(data, facts):
    envelope, keys = yield from trust.open_envelope(data, facts)
    yield
    try:
        manifest = yield from schema.parse_in_pieces(envelope.payload)
        yield
        yield from container.check_layout_in_pieces(data, manifest)
    except ValueError as error:
        raise Refused(errors.PKG_FORMAT, str(error))
    return Package(memoryview(data), manifest, keys.version)


def _check_target(manifest, facts, counter):
    target = manifest["target"]
    require(target["class"] == facts["class"], errors.PKG_TARGET, "for class " + target["class"])
    for feature in target["features"]:
        require(feature in facts["features"], errors.PKG_CAPABILITY, "feature " + feature)
    missing = target["kernels"] & ~facts["kernels"]
    require(missing == 0, errors.PKG_CAPABILITY, "kernels %x" % missing)
    require(target["plan"] == facts["plan_version"], errors.PKG_CAPABILITY, "plan format")
    require(
        manifest["counter"] >= counter,
        errors.PKG_COUNTER,
        "%d, board has %d" % (manifest["counter"], counter),
    )


def _check_arenas(manifest, facts):
    wanted = manifest["target"]["arena_bytes"]
    require(
        wanted <= facts["arena_bytes"],
        errors.PKG_RAM,
        "%d of %d bytes" % (wanted, facts["arena_bytes"]),
    )
    tasks = manifest["tasks"]
    for i in range(len(tasks)):
        for j in range(i):
            yield
            # Under EDF a job is preempted only by one with a shorter relative deadline, so tasks of equal
            # deadlines never interleave and may share; of unequal ones the longer must run whole.
            apart = (
                tasks[i]["arena_offset"] >= tasks[j]["arena_offset"] + tasks[j]["arena_bytes"]
                or tasks[j]["arena_offset"] >= tasks[i]["arena_offset"] + tasks[i]["arena_bytes"]
            )
            require(
                apart or _never_interleave(manifest, i, j),
                errors.PKG_RAM,
                "tasks %d and %d share arena and may interleave" % (j, i),
            )


def _never_interleave(manifest, i, j):
    tasks = manifest["tasks"]
    for mode in range(schema.mode_count(manifest)):
        timings = schema.mode_timings(manifest, mode)
        first, second = timings[i][1], timings[j][1]
        if first and second and first != second:
            if not runs_whole(tasks[i if first > second else j]):
                return False
    return True


def _check_digests(package):
    payloads = package.manifest["payloads"]
    for index in range(len(payloads)):
        payload = package.payload(index)
        hashing = _tactus.sha256_begin()
        for at in range(0, len(payload), _DIGEST_BYTES):
            yield
            _tactus.sha256_update(hashing, payload[at : at + _DIGEST_BYTES])
        digest = _tactus.sha256_end(hashing)
        require(digest == payloads[index]["sha256"], errors.PKG_DIGEST, "payload %d" % index)


def _check_model(package, task, model, facts):
    yield
    _check_plan(package, task, model, facts)
    for test in model["selftest"]:
        yield
        _check_vector(package, task, model, test)


def _check_plan(package, task, model, facts):
    # model: the task itself, or its lite variant, which lies in the same arena
    name = task["name"]
    image = package.payload(model["plan"])
    code = _tactus.plan_check(image, task["arena_bytes"])
    require(code >= 0, -code, "model of task " + name)
    info = _tactus.plan_info(image, model["budget_us"])
    _, arena_bytes, input_bytes, output_bytes, total_us, longest_us, kernels, mandatory_us = info
    early = model.get("early")
    require(arena_bytes <= task["arena_bytes"], errors.PLAN_ARENA, "model of task " + name)
    declared = package.manifest["target"]["kernels"] & facts["kernels"]
    require(kernels & ~declared == 0, errors.PKG_CAPABILITY, "kernels of task " + name)
    require(
        input_bytes == schema.tensor_bytes(model["input"])
        and output_bytes == schema.answer_bytes(model),
        errors.PKG_FORMAT,
        "tensor sizes of task " + name,
    )
    # A job may use less than the whole plan takes only where it has an early answer to end with.
    require((early is None) == (mandatory_us == 0), errors.PKG_FORMAT, "early exit of task " + name)
    needed_us = total_us
    if early:
        needed_us = mandatory_us
        require(
            early["mandatory_us"] >= mandatory_us and early["full_us"] >= total_us,
            errors.PKG_SCHEDULE,
            "early exit of task " + name,
        )
    # The admission test believes the manifest: it may not promise less time than the plan declares.
    require(
        model["budget_us"] >= needed_us and model["longest_op_us"] >= longest_us,
        errors.PKG_SCHEDULE,
        "task %s declares %d and %d us, its plan %d and %d"
        % (name, model["budget_us"], model["longest_op_us"], needed_us, longest_us),
    )


def _check_vector(package, task, model, test):
    require(
        len(package.payload(test["input"])) == schema.tensor_bytes(model["input"]),
        errors.PKG_FORMAT,
        "self-test input of task " + task["name"],
    )
