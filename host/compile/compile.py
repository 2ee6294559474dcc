"""compile_model: exported model -> graph -> passes -> order -> arena plan -> plan image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from host.boards import Board
from host.compile.graph import Graph, Op
from host.compile.image import OPS_MAX, Placed, write_image
from host.compile.importer import import_program
from host.compile.order import mandatory_ops, smallest_order
from host.compile.packing import pack_graph
from host.compile.passes import run_passes
from host.compile.plan.arena import ArenaPlan
from host.compile.plan.check import check_mandatory, check_plan
from host.compile.plan.problem import Node
from host.compile.plan.segments import plan_segments
from host.compile.plan.steps import Segment
from host.compile.plan.timing import row_limits, segment_wcet_us, whole_wcet_us
from host.compile.records import (
    checked_steps,
    moved_bytes,
    segment_ops,
    segment_record,
    split_records,
)
from host.compile.result import BufferPlan, CompiledModel, OpReport, PlannedProgram
from host.errors import DoesNotFitError, UsageError
from host.export.program import ExportedModel


def compile_model(
    exported: ExportedModel,
    board: Board,
    keep_input: bool = False,
    longest_us: int | None = None,
    smallest: bool = False,
) -> CompiledModel:
    """Compile for one board. Raises UnsupportedOperatorError or DoesNotFitError.

    A run overwrites its input unless keep_input, which costs RAM (CompiledModel.keep_input_bytes).
    longest_us: the longest piece that may run without a pause; longer ops run some rows at a time.
    smallest: no RAM is given for fewer instructions.
    """
    early = exported.early_info is not None
    planned = plan_program(
        exported.name, exported.program, board, keep_input, longest_us, smallest, early
    )
    return CompiledModel(
        name=exported.name,
        image=planned.image,
        arena_bytes=planned.arena_bytes,
        arena_lower_bound_bytes=planned.arena_lower_bound_bytes,
        plan_optimal=planned.plan_optimal,
        keep_input_bytes=planned.keep_input_bytes,
        pte_bytes=exported.pte_bytes,
        input=exported.input_info,
        output=exported.output_info,
        early=exported.early_info,
        mandatory_ops=planned.mandatory_ops,
        ops=planned.ops,
        buffers=planned.buffers,
        coverage=exported.coverage,
    )


def plan_program(
    name: str,
    program: Any,
    board: Board,
    keep_input: bool = False,
    longest_us: int | None = None,
    smallest: bool = False,
    early_exit: bool = False,
) -> PlannedProgram:
    """Compile any lowered program, with as many inputs and outputs as it has.

    early_exit: output 1 is the early answer; what it needs comes first.
    """
    graph = pack_graph(run_passes(import_program(program)), board)
    mandatory = mandatory_ops(graph, graph.outputs[1]) if early_exit else frozenset()
    if early_exit and not 0 < len(mandatory) < len(graph.ops):
        raise UsageError(
            f"the early answer of model {name} takes {len(mandatory)} of its {len(graph.ops)} operators",
            "branch it off a middle layer: the mandatory and the optional part have one at least",
        )
    room_bytes = 0 if smallest else board.arena_bytes
    plan = _plan(graph, board, keep_input, longest_us, room_bytes, mandatory)
    check_plan(
        checked_steps(plan.nodes),
        {name: tensor.size_bytes for name, tensor in graph.tensors.items()}
        | {op.scratch: op.scratch_bytes for op in plan.ops},
        graph.inputs,
        graph.outputs,
        plan.buffers,
        plan.arena_bytes,
    )
    keep_input_bytes = 0
    if keep_input:
        freer = _plan(graph, board, False, longest_us, room_bytes, mandatory)
        keep_input_bytes = max(0, plan.arena_bytes - freer.arena_bytes)
    if plan.arena_bytes > board.arena_bytes:
        raise _too_large(name, board, plan.buffers, plan.arena_bytes)
    places = {place.name: Placed(place.offset, place.size_bytes) for place in plan.buffers}
    rows = [row for node in plan.nodes for row in _rows(node, board)]
    first_rows = sum(row.record.name in mandatory for row in rows)
    if early_exit:
        check_mandatory([row.record.output for row in rows], graph.outputs[1], first_rows)
    if len(rows) > OPS_MAX:
        raise DoesNotFitError(
            f"model {name} has {len(rows)} operators, more than {OPS_MAX}", "make it shallower"
        )
    segments, reports = [], []
    for index, row in enumerate(rows):
        if row.starts is not None:
            segments.append(segment_record(row.starts, index))
        reports.append(_report(index, row, len(segments) - 1, places, graph))
    return PlannedProgram(
        image=write_image(
            [row.record for row in rows],
            [row.wcet_us for row in rows],
            places,
            graph.inputs,
            graph.outputs,
            plan.arena_bytes,
            segments,
            first_rows,
        ),
        arena_bytes=plan.arena_bytes,
        arena_lower_bound_bytes=plan.lower_bound_bytes,
        plan_optimal=plan.optimal,
        keep_input_bytes=keep_input_bytes,
        mandatory_ops=first_rows,
        inputs=graph.inputs,
        outputs=graph.outputs,
        ops=tuple(reports),
        buffers=plan.buffers,
    )


def _plan(
    graph: Graph,
    board: Board,
    keep_input: bool,
    longest_us: int | None,
    room_bytes: int,
    mandatory: frozenset[str],
) -> ArenaPlan:
    ops = smallest_order(graph, keep_input, mandatory)
    limits = row_limits(graph, ops, board, longest_us)

    def allowed(segment: Segment) -> bool:
        return longest_us is None or max(segment_wcet_us(board, segment)) <= longest_us

    return plan_segments(graph, ops, keep_input, limits, allowed, room_bytes, len(mandatory))


@dataclass(frozen=True, slots=True)
class _Row:
    """One record. steps: how many pieces it runs in; in_segment: whether by rows, with others."""

    record: Op
    wcet_us: int
    steps: int = 1
    in_segment: bool = False
    ring_rows: int = 0
    starts: Segment | None = None  # the segment whose first record this is


def _rows(node: Node, board: Board) -> list[_Row]:
    if not isinstance(node, Segment):
        return [_Row(record, whole_wcet_us(board, record)) for record in split_records([node])]
    times = segment_wcet_us(board, node)
    return [
        _Row(
            record,
            us,
            len(node.steps_of(index)),
            True,
            node.ring_rows[index],
            None if index else node,
        )
        for index, (record, us) in enumerate(zip(segment_ops(node), times, strict=True))
    ]


def _report(
    index: int, row: _Row, segment: int, places: dict[str, Placed], graph: Graph
) -> OpReport:
    op, f = row.record, row.record.fields
    bytes_read, bytes_written = moved_bytes(op, graph.tensors)
    mapped = (f.out_h, f.out_w, f.out_c) if f.out_w else (f.out_h, f.out_c)
    return OpReport(
        index=index,
        kind=op.kind.name.lower(),
        name=op.name,
        units=op.units,
        wcet_us=row.wcet_us,
        out_shape=mapped if f.out_c else (f.count,),
        out_offset=places[op.output].offset + op.output_offset,
        bytes_read=bytes_read,
        bytes_written=bytes_written,
        kernel=op.kernel,
        segment=segment if row.in_segment else None,
        steps=row.steps,
        ring_rows=row.ring_rows,
    )


def _too_large(
    name: str, board: Board, placements: Sequence[BufferPlan], arena_bytes: int
) -> DoesNotFitError:
    def alive(at: int) -> list[BufferPlan]:
        return [plan for plan in placements if plan.first <= at <= plan.last]

    peak = max(
        range(max(plan.last for plan in placements) + 1),
        key=lambda at: sum(plan.size_bytes for plan in alive(at)),
    )
    largest = sorted(alive(peak), key=lambda plan: -plan.size_bytes)[:4]
    held = ", ".join(f"{plan.name} {plan.size_bytes}" for plan in largest)
    return DoesNotFitError(
        f"model {name} needs an arena of {arena_bytes} bytes, {board.name} has "
        f"{board.arena_bytes} ({arena_bytes - board.arena_bytes} too many); "
        f"alive together in op {peak}: {held}",
        "make these activations smaller (stride, channels, resolution) or choose another board",
    )
