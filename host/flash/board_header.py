"""tac_board.h: the facts of a board and the root keys it trusts, as C macros for its firmware."""

from pathlib import Path

from host.boards import Board
from host.package.keys_roots import RootKeys


def board_header(board: Board, trust: RootKeys, trust_name: str) -> str:
    """Text of tac_board.h. The same input gives the same text."""
    flash, time = board.flash, board.time
    numbers = {
        "ARENA_BYTES": board.arena_bytes,
        "HEAP_BYTES": board.heap_bytes,
        "STACK_BYTES": board.stack_bytes,
        "RAM_BYTES": board.ram_bytes,
        "LINK_BYTES": board.link_bytes,
        "LINK_BUFFERS": board.link_buffers,
        "LINKS": board.links,
        "FLASH_BYTES": flash.bytes,
        "SECTOR_BYTES": flash.sector_bytes,
        "WRITE_BYTES": flash.write_bytes,
        "JOURNAL_OFFSET": flash.journal_offset,
        "SLOT0_OFFSET": flash.slot_offsets[0],
        "SLOT1_OFFSET": flash.slot_offsets[1],
        "SLOT_BYTES": flash.slot_bytes,
        "REPLAY_OFFSET": flash.replay_offset,
        "REPLAY_BYTES": flash.replay_bytes,
        "DISPATCH_US": time.dispatch_us,
        "LOCKOUT_US": time.lockout_us,
        "BACKGROUND_US": time.background_us,
        "BACKGROUND_PERIOD_US": time.background_period_us,
        "GC_US": time.gc_us,
        "GC_PERIOD_US": time.gc_period_us,
        "SCALES_WITH_SPEED": int(time.scales_with_speed),
        "ROOT_COUNT": len(trust.keys),
        "ROOT_THRESHOLD": trust.threshold,
    }
    strings = {
        "NAME": board.name,
        "CLASS": board.device_class,
        "FEATURES": ",".join(board.features),
        "TRUST_NAME": trust_name,
    }
    keys = ", ".join(f"0x{byte:02x}" for byte in b"".join(trust.keys))
    lines = [
        f"// Generated from boards/{board.name}/board.toml by host/flash/board_header.py: do not edit.",
        "#ifndef TAC_BOARD_H",
        "#define TAC_BOARD_H",
        "",
        *(f"#define TAC_BOARD_{name} {_c_string(text)}" for name, text in strings.items()),
        *(f"#define TAC_BOARD_{name} {value}" for name, value in numbers.items()),
        f"#define TAC_BOARD_ROOT_KEYS {{{keys}}}",
        "",
        "#endif",
        "",
    ]
    return "\n".join(lines)


def write_board_header(board: Board, trust: RootKeys, trust_name: str, folder: Path) -> Path:
    """Write `folder`/tac_board.h unless it is there already, word for word (its date drives rebuilds)."""
    path = folder / "tac_board.h"
    text = board_header(board, trust, trust_name)
    if not path.is_file() or path.read_text() != text:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return path


def _c_string(text: str) -> str:
    """A C string literal; bytes outside printable ASCII as octal escapes, which cannot run into what follows."""
    plain = "".join(
        chr(byte) if 32 <= byte < 127 and byte not in b'"\\?' else f"\\{byte:03o}"
        for byte in text.encode()
    )
    return f'"{plain}"'
