"""Graph passes: pure functions Graph -> Graph that keep every result bit for bit."""

from host.compile.graph import Graph
from host.compile.passes.drop_noops import drop_noops
from host.compile.passes.fold_pad import fold_pad
from host.compile.passes.fold_permute import fold_permute
from host.compile.passes.fold_requantize import fold_requantize

PASSES = (drop_noops, fold_requantize, drop_noops, fold_permute, fold_pad)


def run_passes(graph: Graph) -> Graph:
    """All passes in their order."""
    for one_pass in PASSES:
        graph = one_pass(graph)
    return graph
