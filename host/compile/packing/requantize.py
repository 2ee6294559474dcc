"""Constants of the exact 3 to 5 instruction requantization. Algebra and ranges: engine/packed.h."""

from dataclasses import dataclass
from enum import Enum

from host.compile.graph import Fields
from host.compile.packing.refusal import NotPackedError

FUSED_SHIFT = 12  # TAC_PACKED_RELU_SHIFT
MOST_SHIFT = {"lin": 21, "relu": 15, "clamp": 21}


class Form(Enum):
    """How a packed kernel rounds and clamps; follows from the record as tac_packed_form() does."""

    LIN = "lin"
    RELU = "relu"
    CLAMP = "clamp"


@dataclass(frozen=True, slots=True)
class Rounding:
    """Multiplier, accumulate constant and right shift of one output channel."""

    multiplier: int
    constant: int
    shift: int


def form_of(fields: Fields) -> Form:
    """The form that the record's clamp asks for."""
    if (fields.act_min, fields.act_max) != (-128, 127):
        return Form.CLAMP
    return Form.RELU if fields.out_add == -128 else Form.LIN


def check_scaling(form: Form, multiplier: int, shift: int) -> None:
    """Raise NotPackedError unless multiplier and (left) shift are in the proved range."""
    if multiplier < 0:
        raise NotPackedError(f"a negative multiplier, {multiplier}")
    if not 1 <= -shift <= MOST_SHIFT[form.value]:
        raise NotPackedError(f"right shift {-shift} is outside 1..{MOST_SHIFT[form.value]}")


def rounding(form: Form, out_add: int, multiplier: int, shift: int, upper: bool) -> Rounding:
    """Constants for a checked scaling. upper: the channel is in the upper byte of its pair."""
    right = -shift
    constant = (1 << (right - 1)) + (out_add << right)
    if form is Form.RELU and upper:  # the kernel does not divide 256 * A first
        return Rounding(multiplier, (1 << 6) + (constant << 7), right + 7)
    return Rounding(multiplier, constant, right)


def fused_fits(shift: int, bound: int) -> bool:
    """Whether a channel of the (left) shift, with no accumulator above `bound`, can be fused."""
    left = FUSED_SHIFT + 1 + shift
    return 2 <= left <= 8 and bound < 1 << (31 - left)


def fused(out_add: int, multiplier: int, shift: int, upper: bool) -> Rounding:
    """Constants of CONV2D with ReLU: the same right shift, FUSED_SHIFT, for all channels.

    `shift` of the result is what the accumulator (upper: 256 times it) is shifted by first.
    """
    plain = rounding(Form.LIN, out_add, multiplier, shift, upper)
    left = FUSED_SHIFT + 1 - plain.shift
    constant = (1 << (left - 2)) + (plain.constant << (left - 1))
    return Rounding(multiplier, constant, 8 - left if upper else left)
