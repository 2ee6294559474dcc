"""The store under power cuts, in C: every flash operation of every scenario, then rows of random cuts.

A failure prints the arguments that replay it, as `one 3 0 17 2` or `random 1234 1`, for
build/bench/programs/*-power_cuts; TACTUS_SEED=<seed> chooses the first random seed.
"""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from host.bench.power_cuts import build_power_cuts, measure_power_cuts, run_power_cuts
from host.boards import ROOT
from host.errors import TactusError

SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
STORE = ROOT / "device" / "store"


def first_seed() -> int:
    return int(os.environ.get("TACTUS_SEED", random.SystemRandom().randrange(2**32)))


def test_no_cut_loses_the_confirmed_package_or_a_promised_record() -> None:
    found = measure_power_cuts(first_seed(), 1000)
    assert found.failures == 0, found.said
    assert found.points > 11_000 and found.telemetry_points > 3_000
    assert found.random_cuts > 30_000 and found.confirmed > 2_000
    figures = found.as_json()
    assert figures["cut_points"] > 45_000 and figures["cut_failures"] == 0


def test_the_sanitizers_have_nothing_to_say() -> None:
    program = build_power_cuts(SANITIZERS, name="power_cuts-sanitized")
    for arguments in (("exhaustive",), ("random", str(first_seed()), "50")):
        figures, said = run_power_cuts(program, *arguments)
        assert sum(part["failures"] for part in figures.values()) == 0, said


# (file, what it says, what a mistake would make of it): each must be noticed.
MISTAKES: dict[str, tuple[str, str, str]] = {
    "erase before the journal knows": (
        "slot.c",
        "    // The journal stops vouching for the old content before the first sector of it goes.\n",
        "    st->flash->erase(st->flash->ctx, st->layout.slot_offset[slot]);\n",
    ),
    "a slot that runs may be overwritten": (
        "slot.c",
        "    return st->slots[slot].state == TAC_SLOT_TRIED || slot == current_slot(st);\n",
        "    (void)current_slot;\n    return st->slots[slot].state == TAC_SLOT_TRIED;\n",
    ),
    "floors rise before the confirmation": (
        "slot.c",
        "        return change(st, slot, next, st->floors);\n",
        (
            "        return change(st, slot, next, floors != NULL && state == TAC_SLOT_BAD ? "
            "(tac_floors_t){9, 9} : st->floors);\n"
        ),
    ),
    "floors are not written": (
        "journal.c",
        "    put32(record + 12, floors.key_version);\n",
        "    put32(record + 12, 0);\n",
    ),
    "an older key set confirms": (
        "slot.c",
        "    if (floors->key_version < st->floors.key_version) {\n",
        "    if (floors->key_version < st->floors.key_version && floors->key_version > 9) {\n",
    ),
    "cells that read as erased are not erased again": (
        "slot.c",
        "    if (position % flash->sector_bytes == 0 && flash->erase(flash->ctx, offset) != 0) {\n",
        (
            "    if (position % flash->sector_bytes == 0 && flash->base[offset] != 0xFF &&\n"
            "        flash->erase(flash->ctx, offset) != 0) {\n"
        ),
    ),
    "the last good record's sector is erased": (
        "journal.c",
        "        sector = 1 - sector;\n",
        "        sector = sector & 1;\n",
    ),
    "torn records are written over": (
        "journal.c",
        "    while (used > newest + 1 && is_erased(base + (used - 1) * stride, stride)) {\n",
        "    while (used > newest + 1 && is_erased(base, 0)) {\n",
    ),
    "a trial is not marked as dead": (
        "slot.c",
        "        next.state = TAC_SLOT_BAD;\n",
        "        next.state = TAC_SLOT_PENDING;\n",
    ),
    "a reset loses the package that was confirmed before": (
        "slot.c",
        "    if (next.reason != TAC_SLOT_PROVEN || !is_blameless) {\n",
        "    if (next.reason != TAC_SLOT_PROVEN || is_blameless) {\n",
    ),
    "a reset makes it the newest one": (
        "slot.c",
        "        next.sequence = other->sequence > 0 ? other->sequence - 1 : 0;\n",
        "        next.sequence = other->sequence + 1;\n",
    ),
    "what a reset gave up is not taken for whole": (
        "slot.c",
        "        next.received = length; // nothing to send; finish() hashes it all\n",
        "",
    ),
    "telemetry: torn entries are written over": (
        "telemetry.c",
        "    while (used > 0 && sector[used - 1] == 0xFF) {\n",
        "    used = 0;\n    while (used > 0 && sector[used - 1] == 0xFF) {\n",
    ),
    "telemetry: no way past a torn entry": (
        "telemetry.c",
        "        *at += skipped(log, *at);\n",
        "        *at = log->flash->sector_bytes;\n",
    ),
    "telemetry: the newest sector is erased": (
        "telemetry.c",
        "    const uint32_t place = log->number % log->sectors;\n",
        "    const uint32_t place = (log->number + log->sectors - 1) % log->sectors;\n",
    ),
    "telemetry: acknowledgements stay behind": (
        "telemetry.c",
        "    put32(content + 4, log->acknowledged);\n",
        "    put32(content + 4, 0);\n",
    ),
    "telemetry: what was erased before a cut is trusted": (
        "telemetry.c",
        "    log->next = 1;\n",
        "    log->next = 1;\n    log->prepared = 1;\n",
    ),
}


@pytest.mark.parametrize("mistake", sorted(MISTAKES))
def test_a_mistake_in_the_store_is_noticed(mistake: str, tmp_path: Path) -> None:
    name, right, wrong = MISTAKES[mistake]
    store = tmp_path / "store"
    shutil.copytree(STORE, store)
    text = (store / name).read_text()
    assert text.count(right) == 1
    (store / name).write_text(text.replace(right, wrong))
    program = build_power_cuts(("-Wno-error",), store, "power_cuts-mutant")
    try:
        noticed = any(
            part["failures"]
            for arguments in (("exhaustive",), ("random", "1", "200"))
            for part in run_power_cuts(program, *arguments)[0].values()
        )
    except TactusError as error:
        noticed = "before any power cut" in error.remedy
    assert noticed
