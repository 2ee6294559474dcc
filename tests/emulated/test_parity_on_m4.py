"""Some of ExecuTorch's cases on the emulated Cortex-M4F; `bench parity --board qemu-m4` runs all."""

from __future__ import annotations

import dataclasses

import pytest
from package_builder import TEST_INPUT, TEST_OUTPUT, plan

from host.bench.bare_batch import Trial, run_trials
from host.bench.conformance import Case, collect, compiled
from host.bench.parity import judge, layouts, runner
from host.boards import load_board

BOARD = load_board("qemu-m4")
SOME = (  # a case or two of each family of kernels
    "models/ds_cnn/ds_cnn",
    "models/resnet8/resnet8",
    "models/nn_functional/pad_constant",
    "models/nn_modules/hardswish",
    "models/torch_functions/inverted_residual",
    "ops/add/broadcast_channels_1",
    "ops/avg_pool2d/avgpool_3x3_s2_pad1_countinc",
    "ops/batch_matmul/bmm_small",
    "ops/conv/conv2d_groups_bias",
    "ops/conv/depthwise_conv2d_asymmetric_stride",
    "ops/conv_transpose/conv_transpose2d_complex",
    "ops/div/broadcast_1",
    "ops/linear/linear_rank5",
    "ops/lstm/lstm_fp32",
    "ops/max_pool2d/maxpool_3x3_s2_pad1",
    "ops/maximum/broadcast",
    "ops/softmax/rank3",
    "ops/transpose/transpose_1_2",
)

pytestmark = pytest.mark.emulated


@pytest.fixture(scope="module")
def cases() -> dict[str, Case]:
    return {case.name: case for case in collect()}


def test_some_cases_of_executorch_pass_on_the_core_packed_and_plain(
    cases: dict[str, Case],
) -> None:
    boards = layouts(BOARD)
    assert ["dsp" in board.features for board in boards] == [True, False]
    verdicts = judge([cases[name] for name in SOME], boards, runner("qemu-m4"))
    assert {name: verdict.outcome for name, verdict in verdicts.items()} == dict.fromkeys(
        SOME, "passed"
    )


def test_a_wrong_byte_in_one_layout_fails_the_case(cases: dict[str, Case]) -> None:
    run, boards = runner("qemu-m4"), layouts(BOARD)
    case = cases["models/torch_functions/inverted_residual"]
    packed, plain = compiled(case, boards)
    assert packed.planned.image != plain.planned.image

    def spoiled(trials):  # type: ignore[no-untyped-def]
        answers = run(trials)
        last = [list(outputs) for outputs in answers[1]]
        last[-1][0] = bytes([last[-1][0][0] ^ 1]) + last[-1][0][1:]
        return [answers[0], last]

    verdict = judge([case], boards, spoiled)[case.name]
    assert verdict.outcome == "failed" and "output 0: 1 of" in verdict.reason


def test_a_trial_that_goes_wrong_is_named_and_the_others_run() -> None:
    good = Trial(plan().image(), ((TEST_INPUT,), (TEST_OUTPUT,)))
    refused = dataclasses.replace(good, image=b"\0" * len(good.image))
    sound = plan()
    sound.arena_bytes = 64 << 20  # more than the core has: painting it faults
    faulty = dataclasses.replace(good, image=sound.image())
    answers = run_trials(BOARD, [good, refused, faulty, good])
    assert [answer.failure.split(":")[0] for answer in answers] == [
        "",
        "the plan was refused with code -16",
        "the run ended there",
        "",
    ]
    assert answers[0] == answers[3]
    assert answers[0].runs == ((TEST_OUTPUT,), (TEST_OUTPUT,))
