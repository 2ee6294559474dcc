"""Writing golden vectors: sorted, one case a line, so that a change shows in a diff."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[2] / "protocol" / "vectors"


def tagged(value: Any) -> Any:
    """A CBOR value in JSON: bytes as {"bytes": hex}, maps as {"map": [[key, value], ...]}."""
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, list):
        return [tagged(item) for item in value]
    if isinstance(value, dict):
        return {"map": [[key, tagged(item)] for key, item in value.items()]}
    return value


def render(content: dict[str, Any]) -> str:
    parts = []
    for name, cases in content.items():
        if isinstance(cases, list):
            lines = ",\n  ".join(json.dumps(case, ensure_ascii=False) for case in cases)
            parts.append(f'"{name}": [\n  {lines}\n ]')
        else:
            parts.append(f'"{name}": {json.dumps(cases, ensure_ascii=False)}')
    return "{\n " + ",\n ".join(parts) + "\n}\n"


def write(name: str, content: dict[str, Any]) -> None:
    """Write protocol/vectors/<name>.json."""
    (FOLDER / f"{name}.json").write_text(render(content), "utf-8")
