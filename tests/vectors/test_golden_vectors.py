"""The committed vectors are what their generators write."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import generate_cbor
import generate_ed25519
import generate_framings
import generate_keyset
import generate_package
import generate_schedule
import generate_smp
import vector_file


@pytest.mark.parametrize(
    "generator",
    [
        generate_cbor,
        generate_ed25519,
        generate_framings,
        generate_keyset,
        generate_package,
        generate_schedule,
        generate_smp,
    ],
)
def test_generators_write_the_committed_files(
    generator: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_file, "FOLDER", tmp_path)
    generator.main()  # type: ignore[attr-defined]
    written = sorted(tmp_path.iterdir())
    assert written
    committed = Path(__file__).resolve().parents[2] / "protocol" / "vectors"
    for path in written:
        again = f"run tests/vectors/{generator.__name__}.py"  # type: ignore[attr-defined]
        assert path.read_bytes() == (committed / path.name).read_bytes(), again
