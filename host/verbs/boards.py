"""`boards`: what there is: known boards, running emulators, serial ports."""

from typing import Any

from host.boards import board_names, load_board
from host.verbs import Console


def run(console: Console, stop: str) -> dict[str, Any]:
    """List boards and ports; or stop emulated boards first."""
    from host.flash.flasher import stop_board
    from host.link.ports import list_ports

    for name in board_names() if stop == "all" else [stop] if stop else []:
        if stop_board(load_board(name)):
            console.say(f"{name} stopped")
    ports = list_ports()
    running = {port.board: port.path for port in ports if port.board}
    rows = [
        {
            "name": board.name,
            "title": board.title,
            "core": board.core,
            "ram_bytes": board.ram_bytes,
            "port": running.get(board.name),
        }
        for board in map(load_board, board_names())
    ]
    if not console.as_json:
        from host.monitor.tables import board_table, port_table

        console.show(board_table(rows, "Boards"))
        console.show(port_table(ports, "Ports"))
    return {"boards": rows, "ports": [port.path for port in ports]}
