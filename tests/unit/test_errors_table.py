"""One table of error codes in C and in Python."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from protocol import errors

HEADER = Path(__file__).resolve().parents[2] / "device" / "tac_error.h"


def header_codes() -> dict[str, int]:
    pattern = re.compile(r"^\s*TAC_(?:ERR_)?(\w+) = (-?\d+),", re.MULTILINE)
    return {name: -int(value) for name, value in pattern.findall(HEADER.read_text())}


def test_every_code_of_the_header_is_in_the_table_and_no_other() -> None:
    assert {row[0]: code for code, row in errors.TABLE.items()} == header_codes()
    assert len(header_codes()) == 38


def test_every_code_has_a_constant_of_its_name() -> None:
    for code, row in errors.TABLE.items():
        assert getattr(errors, row[0]) == code


@pytest.mark.parametrize("code", sorted(errors.TABLE))
def test_sentences_are_one_line_without_a_full_stop(code: int) -> None:
    for text in (errors.sentence(code), errors.remedy(-code)):
        assert text and "\n" not in text and not text.endswith(".")
        assert len(text) < 100


def test_an_unknown_code_still_has_words() -> None:
    assert "99" in errors.sentence(-99) and "99" in errors.name(99)
    assert errors.remedy(99)


def test_the_specification_lists_every_code_with_its_sentence() -> None:
    text = (HEADER.parents[1] / "protocol" / "SPEC.md").read_text()
    for code, (name, sentence, _) in errors.TABLE.items():
        assert f"| {code} | {name} | {sentence} |\n" in text
