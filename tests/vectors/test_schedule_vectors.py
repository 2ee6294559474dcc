"""Admission, histogram and statistics bytes against the committed vectors, in Python and in C."""

import json
from pathlib import Path
from typing import Any

import pytest

from protocol import stats
from protocol.admission import admit
from protocol.histogram import BUCKETS, Histogram, bucket_index, bucket_lower, bucket_upper
from tests.sched_library import library

VECTORS = Path(__file__).resolve().parents[2] / "protocol/vectors"
ADMISSION = json.loads((VECTORS / "admission.json").read_text())
HISTOGRAM = json.loads((VECTORS / "histogram.json").read_text())
STATS = json.loads((VECTORS / "stats.json").read_text())


@pytest.mark.parametrize("case", ADMISSION["cases"], ids=lambda case: str(case["tasks"]))
def test_admission_gives_the_verdict_of_the_vector(case: dict[str, Any]) -> None:
    assert list(admit([tuple(task) for task in case["tasks"]])) == case["verdict"]


def test_the_admission_vectors_cover_every_reason() -> None:
    reasons = {case["verdict"][1] for case in ADMISSION["cases"]}
    assert reasons == {"", "parameters", "utilization", "demand", "blocking", "cap"}


def test_both_histograms_put_every_probe_into_the_bucket_of_the_vector() -> None:
    for value, bucket in HISTOGRAM["index"]:
        assert bucket_index(value) == bucket, value
        assert library().tac_hist_index(value) == bucket, value


def test_both_histograms_know_the_edges() -> None:
    assert len(HISTOGRAM["edges"]) == BUCKETS
    for bucket, upper in enumerate(HISTOGRAM["edges"]):
        assert bucket_upper(bucket) == library().tac_hist_upper(bucket) == upper
        assert bucket_lower(bucket) == (HISTOGRAM["edges"][bucket - 1] + 1 if bucket else 0)


@pytest.mark.parametrize("case", HISTOGRAM["cases"], ids=lambda case: f"n={case['n']}")
def test_histogram_counts_and_percentiles_are_those_of_the_vector(case: dict[str, Any]) -> None:
    h, left, right = Histogram(), Histogram(), Histogram()
    for number, value in enumerate(case["values"]):
        h.add(value)
        (left if number % 3 else right).add(value)
    for key in ("n", "min_us", "max_us", "sum_us"):
        assert getattr(h, key) == case[key]
    assert [list(pair) for pair in h.nonzero()] == case["buckets"]
    for numerator, denominator, reported in case["percentiles"]:
        assert h.percentile(numerator, denominator) == reported
    left.merge(right)
    assert vars(left) == vars(h)


def test_statistics_bytes_read_as_the_vector_says() -> None:
    vector = STATS["stats"]
    got = stats.unpack_stats(bytes.fromhex(vector["bytes"]))
    for key, expected in vector.items():
        if key in ("start", "response"):
            h = getattr(got, key)
            assert [list(pair) for pair in h.nonzero()] == expected.pop("buckets")
            assert {name: getattr(h, name) for name in expected} == expected
        elif key != "bytes":
            assert getattr(got, key) == expected, key


def test_loop_statistics_read_as_the_vector_says() -> None:
    vector = STATS["loop"]
    got = stats.unpack_loop(bytes.fromhex(vector.pop("bytes")))
    assert got._asdict() == vector


def test_results_and_events_read_as_the_vectors_say() -> None:
    results = stats.unpack_results(bytes.fromhex(STATS["results"]["bytes"]))
    assert [[*r[:7], r.output.hex(), r.early] for r in results] == STATS["results"]["records"]
    events = stats.unpack_events(bytes.fromhex(STATS["events"]["bytes"]))
    assert [list(e) for e in events] == STATS["events"]["records"]


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (kind, why)
        for kind in ("stats", "loop", "results", "events")
        for why in STATS[f"{kind}_refused"]
    ],
)
def test_bytes_that_lie_are_refused(kind: str, why: str) -> None:
    with pytest.raises(stats.StatsError):
        getattr(stats, f"unpack_{kind}")(bytes.fromhex(STATS[f"{kind}_refused"][why]))
