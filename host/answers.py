"""What a board must answer: the bytes of every evaluation window, fixed while an application is built."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from host.errors import VerificationError

if TYPE_CHECKING:
    from host.compile.result import CompiledModel
    from host.export.program import ExportedModel

# Sums in another order and functions of another library: float32 agrees to this share of the
# largest output.
_FLOAT_TOLERANCE = 1e-4


def right_answers(
    exported: "ExportedModel",
    compiled: "CompiledModel",
    inputs: npt.NDArray[np.int8],
    output: int = 0,
) -> npt.NDArray[np.int8]:
    """int8 [n, input bytes] -> int8 [n, output bytes], what every board must answer bit for bit.

    output: 0 for the final answer, 1 for the early one.

    In int8 that is what ExecuTorch's reference operators give. In float32 no two libraries agree in
    the last bits, but one C source without contraction does on all cores with IEEE arithmetic: the
    answers are those of the engine on this machine, once PyTorch confirms them. Raises
    VerificationError where it does not.
    """
    reference = exported.reference(inputs, output)
    if compiled.output.dtype == "int8":
        return reference
    from host.bench.host_engine import HostEngine

    engine = HostEngine()
    outputs = [
        engine.run(compiled.image, [window.tobytes()], compiled.arena_bytes)[output]
        for window in inputs
    ]
    answers = np.frombuffer(b"".join(outputs), np.int8).reshape(len(inputs), -1)
    wanted, given = (array.view(compiled.output.numpy_type) for array in (reference, answers))
    error, largest = float(np.abs(given - wanted).max()), float(np.abs(wanted).max())
    if not error <= _FLOAT_TOLERANCE * largest:
        raise VerificationError(
            f"model {exported.name} in float32 is off by {error:.3g} of {largest:.3g}",
            "run tests/parity/test_float_kernels.py; a model that blows up small differences "
            "cannot be checked this way",
        )
    return answers
