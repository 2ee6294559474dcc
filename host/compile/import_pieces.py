"""Importers of one result of an operator that has several."""

from typing import Any

from host.compile.context import ImportContext
from host.compile.graph import Op
from host.compile.import_layout import cut_piece
from host.compile.import_pooling import max_pool2d_of
from host.export.support import operator_name, unsupported

# Operators that are imported where their results are taken.
SPLIT = ("aten.split_with_sizes_copy.default", "aten.max_pool2d_with_indices.default")


def piece(context: ImportContext, node: Any) -> Op:
    """getitem: a piece of a split, or the values of a max pool."""
    split, index = node.args
    if operator_name(split.target) == SPLIT[0]:
        return cut_piece(context, node, split, index)
    if operator_name(split.target) == SPLIT[1] and index == 0:
        return max_pool2d_of(context, node, split)
    raise unsupported(node, f"is result {index} of {operator_name(split.target)}")
