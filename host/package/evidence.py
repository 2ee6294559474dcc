"""The evidence file: how a package came to be, for whoever has to answer for it later.

It travels beside the package, whose manifest carries its SHA-256. Plain JSON with sorted keys: the
same build gives the same bytes.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from host.compile.result import CompiledModel


def evidence_bytes(
    app: str,
    version: str,
    board: str,
    models: Sequence[CompiledModel],
    versions: Mapping[str, str],
    sections: Mapping[str, Any],
) -> bytes:
    """The content of `.evidence.json`.

    versions: tool -> version. sections: whatever else shaped or judged the build (quantization
    recipe, calibration digest, admission, parity), JSON values by name; no times, no paths.
    """
    document = {
        "app": app,
        "version": version,
        "board": board,
        "versions": dict(versions),
        "models": [model_facts(model) for model in models],
        **sections,
    }
    text = json.dumps(document, sort_keys=True, indent=1, allow_nan=False, ensure_ascii=False)
    return text.encode() + b"\n"


def model_facts(model: CompiledModel) -> dict[str, Any]:
    """What the evidence says of one model."""
    return {
        "name": model.name,
        "image_bytes": len(model.image),
        "pte_bytes": model.pte_bytes,
        "arena_bytes": model.arena_bytes,
        "arena_lower_bound_bytes": model.arena_lower_bound_bytes,
        "plan_optimal": model.plan_optimal,
        "input": dataclasses.asdict(model.input),
        "output": dataclasses.asdict(model.output),
        "budget_us": model.budget_us,
        "mandatory_ops": model.mandatory_ops,
        "mandatory_us": model.mandatory_us,
        "full_us": model.full_us,
        "longest_op_us": model.longest_op_us,
        "coverage": model.coverage,
        "ops": [dataclasses.asdict(op) for op in model.ops],
        "memory_plan": [dataclasses.asdict(buffer) for buffer in model.buffers],
    }
