"""compile_model: exported model -> graph -> passes -> order -> arena plan -> plan image."""

from collections.abc import Sequence
from typing import Any

from host.boards import Board
from host.compile.graph import Graph, Op
from host.compile.image import OPS_MAX, Placed, write_image
from host.compile.importer import import_program
from host.compile.order import smallest_order
from host.compile.packing import pack_graph
from host.compile.passes import run_passes
from host.compile.plan.arena import plan_arena
from host.compile.plan.check import Step, check_plan
from host.compile.records import moved_bytes, split_records
from host.compile.result import BufferPlan, CompiledModel, OpReport, PlannedProgram
from host.errors import DoesNotFitError
from host.export.program import ExportedModel
from host.schedule.wcet import op_wcet_us


def compile_model(
    exported: ExportedModel, board: Board, keep_input: bool = False, longest_us: int | None = None
) -> CompiledModel:
    """Compile for one board. Raises UnsupportedOperatorError or DoesNotFitError.

    A run overwrites its input unless keep_input, which costs RAM (CompiledModel.keep_input_bytes).
    """
    planned = plan_program(exported.name, exported.program, board, keep_input)
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
        ops=planned.ops,
        buffers=planned.buffers,
        coverage=exported.coverage,
    )


def plan_program(name: str, program: Any, board: Board, keep_input: bool = False) -> PlannedProgram:
    """Compile any lowered program, with as many inputs and outputs as it has."""
    graph = pack_graph(run_passes(import_program(program)), board)
    ops = smallest_order(graph, keep_input)
    plan = plan_arena(graph, ops, keep_input)
    placements, arena_bytes = plan.buffers, plan.arena_bytes
    records = split_records(plan.ops)
    if len(records) > OPS_MAX:
        raise DoesNotFitError(
            f"model {name} has {len(records)} operators, more than {OPS_MAX}", "make it shallower"
        )
    _check(graph, plan.ops, placements, arena_bytes)
    keep_input_bytes = arena_bytes - plan_arena(graph, ops).arena_bytes if keep_input else 0
    if arena_bytes > board.arena_bytes:
        raise _too_large(name, board, placements, arena_bytes)
    places = {place.name: Placed(place.offset, place.size_bytes) for place in placements}
    wcet_us = [op_wcet_us(board, op.kind.name.lower(), op.units, op.instructions) for op in records]
    return PlannedProgram(
        image=write_image(records, wcet_us, places, graph.inputs, graph.outputs, arena_bytes),
        arena_bytes=arena_bytes,
        arena_lower_bound_bytes=plan.lower_bound_bytes,
        plan_optimal=plan.optimal,
        keep_input_bytes=keep_input_bytes,
        inputs=graph.inputs,
        outputs=graph.outputs,
        ops=tuple(
            _report(index, op, us, places, graph)
            for index, (op, us) in enumerate(zip(records, wcet_us, strict=True))
        ),
        buffers=placements,
    )


def _check(
    graph: Graph, ops: Sequence[Op], placements: Sequence[BufferPlan], arena_bytes: int
) -> None:
    check_plan(
        [Step(op.inputs, op.output, op, op.scratch if op.scratch_bytes else None) for op in ops],
        {name: tensor.size_bytes for name, tensor in graph.tensors.items()}
        | {op.scratch: op.scratch_bytes for op in ops},
        graph.inputs,
        graph.outputs,
        placements,
        arena_bytes,
    )


def _report(index: int, op: Op, wcet_us: int, places: dict[str, Placed], graph: Graph) -> OpReport:
    f = op.fields
    bytes_read, bytes_written = moved_bytes(op, graph.tensors)
    mapped = (f.out_h, f.out_w, f.out_c) if f.out_w else (f.out_h, f.out_c)
    return OpReport(
        index=index,
        kind=op.kind.name.lower(),
        name=op.name,
        units=op.units,
        wcet_us=wcet_us,
        out_shape=mapped if f.out_c else (f.count,),
        out_offset=places[op.output].offset + op.output_offset,
        bytes_read=bytes_read,
        bytes_written=bytes_written,
        kernel=op.kernel,
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
