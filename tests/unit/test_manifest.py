"""Properties of the manifest check; every rule has a vector, run in tests/scripts/check_package.py."""

from __future__ import annotations

import copy
import re
from typing import Any

import cbor2
import package_builder as build
import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.boards import ROOT
from protocol import manifest, package

GOOD: dict[str, Any] = cbor2.loads(bytes(package.envelope(build.build()).payload))

ODD = (
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=40)
    | st.lists(st.integers(), max_size=2)
    | st.dictionaries(st.text(max_size=8), st.integers(), max_size=2)
)


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    items: Any = ()
    if isinstance(node, dict):
        items = node.items()
    elif isinstance(node, list):
        items = enumerate(node)
    for key, value in items:
        found += places(value, (*path, key))
    return found


@given(st.data())
def test_odd_values_anywhere_are_accepted_or_refused_with_a_path(draw: st.DataObject) -> None:
    value = copy.deepcopy(GOOD)
    *parents, last = draw.draw(st.sampled_from(places(GOOD)))
    node: Any = value
    for key in parents:
        node = node[key]
    node[last] = draw.draw(ODD)
    try:
        manifest.validate(value)
    except manifest.ManifestError as error:
        assert str(error).startswith(error.path)


@given(st.recursive(ODD, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_any_value_is_accepted_or_refused_with_the_typed_error(value: Any) -> None:
    with pytest.raises(manifest.ManifestError):
        manifest.validate(value)


@pytest.mark.parametrize("path", places(GOOD), ids=lambda path: ".".join(map(str, path)))
def test_every_key_and_item_counts(path: tuple[Any, ...]) -> None:
    value = copy.deepcopy(GOOD)
    node: Any = value
    for key in path[:-1]:
        node = node[key]
    del node[path[-1]]
    in_array = isinstance(node, list)
    if in_array and path[-2] in ("features", "selftest", "tasks", "shape"):
        return  # one item fewer may be a manifest, too
    if in_array and path[-2] == "payloads":
        return
    with pytest.raises(manifest.ManifestError) as caught:
        manifest.validate(value)
    assert caught.value.path.endswith(str(path[-1]))


def test_what_the_host_writes_is_what_the_board_reads() -> None:
    import package_samples as samples

    data = samples.package()
    content = manifest.parse(package.envelope(data).payload)
    package.check_layout(data, content)
    assert content["app"] == "demo"


def test_a_float32_tensor_has_no_quantization_and_four_bytes_an_element() -> None:
    value = copy.deepcopy(GOOD)
    tensor = value["tasks"][0]["input"]
    tensor |= {"dtype": "float32", "scale_f32": 0x3F800000, "zero_point": 0}
    manifest.validate(value)
    assert manifest.tensor_bytes(tensor) == 4 * manifest.elements(tensor)
    for wrong in ({"scale_f32": 0x3F000000}, {"zero_point": 1}, {"dtype": "float16"}):
        spoiled = copy.deepcopy(value)
        spoiled["tasks"][0]["input"] |= wrong
        with pytest.raises(manifest.ManifestError):
            manifest.validate(spoiled)


def constant(header: str, name: str) -> int:
    text = (ROOT / "device" / header).read_text()
    found = re.search(rf"\b{name}(?: =)? (\d+)", text)
    assert found is not None, f"{header} has no {name}"
    return int(found[1])


def test_limits_and_policies_are_those_of_the_headers() -> None:
    assert constant("sched/sched.h", "TAC_TASKS_MAX") == manifest.TASKS_MAX
    assert constant("engine/plan.h", "TAC_PLAN_VERSION") == manifest.PLAN_VERSION
    for number, policy in enumerate(manifest.POLICIES):
        assert constant("sched/sched.h", f"TAC_POLICY_{policy.upper()}") == number


def test_the_number_of_elements_is_the_product_of_the_shape() -> None:
    assert manifest.elements({"shape": [1, 60, 1, 6]}) == 360
    assert manifest.elements({"shape": [4]}) == 4


def test_an_early_exit_has_a_mandatory_part_within_the_budget() -> None:
    value = copy.deepcopy(GOOD)
    task = value["tasks"][0]
    own = dict(task["output"], scale_f32=0x3F000000)
    budget = task["budget_us"]
    good = {"mandatory_us": budget, "full_us": budget + 1, "output": own}
    task["early"] = good
    manifest.validate(value)
    assert manifest.answer_bytes(task) == 2 * manifest.tensor_bytes(task["output"])
    for wrong, path in (
        ({"mandatory_us": 0}, "mandatory_us"),
        ({"mandatory_us": budget + 1}, "mandatory_us"),
        ({"full_us": budget - 1}, "full_us"),
        ({"output": dict(own, shape=[1, 1])}, "output"),
        ({"other": 1}, "other"),
    ):
        task["early"] = good | wrong
        with pytest.raises(manifest.ManifestError) as caught:
            manifest.validate(value)
        assert caught.value.path == f"tasks[0].early.{path}"
    for name in good:
        task["early"] = {key: good[key] for key in good if key != name}
        with pytest.raises(manifest.ManifestError, match=name):
            manifest.validate(value)
