"""What is in a package, for people (a table) and for programs (a dict for JSON)."""

import struct
from typing import Any

from rich.console import Group
from rich.table import Table

from host.package.keys_roots import RootKeys
from host.package.read import PackageError, PackageInfo, parse_package, verify_signature


def inspect_package(data: bytes, roots: RootKeys | None = None) -> dict[str, Any]:
    """Describe a package as JSON values; `signature` says whether `roots` stand behind it.

    Raises PackageError when the bytes are no sound package; an unknown or wrong signature is no
    error here but a finding.
    """
    info = parse_package(data)
    signature = "not checked: no root keys given"
    try:
        if roots is not None:
            verify_signature(data, roots)
            signature = "valid"
    except PackageError as error:
        signature = error.cause.removeprefix("package refused: ")
    manifest = info.manifest
    return {
        "app": info.app,
        "version": info.version,
        "counter": manifest["counter"],
        "sha256": info.sha256.hex(),
        "bytes": info.total_bytes,
        "envelope_bytes": info.envelope_bytes,
        "signer": info.signer.hex(),
        "key_set_version": info.key_version,
        "key_set_expires": info.key_expires,
        "signature": signature,
        "target": manifest["target"],
        "tasks": [_task(info, task) for task in manifest["tasks"]],
        "trial": manifest.get("trial"),
        "payloads": [
            {"name": p.name, "offset": p.offset, "bytes": len(p.data), "sha256": p.sha256.hex()}
            for p in info.payloads
        ],
        "evidence_sha256": manifest["evidence_sha256"].hex(),
    }


def package_tables(description: dict[str, Any]) -> Group:
    """The tables of what `inspect_package` described."""
    head = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    target = description["target"]
    needs = ", ".join(target["features"]) or "no ISA feature"
    for name, value in (
        ("application", f"{description['app']} {description['version']}"),
        ("security counter", str(description["counter"])),
        ("for", f"{target['class']}, {needs}, arena {target['arena_bytes']:,} B"),
        ("size", f"{description['bytes']:,} B (manifest {description['envelope_bytes']:,} B)"),
        ("signed by", f"{description['signer']} ({description['signature']})"),
        ("key set", str(description["key_set_version"])),
        ("SHA-256", description["sha256"]),
    ):
        head.add_row(name, value)
    tasks = Table(title="Tasks", title_justify="left")
    for column in ("task", "period", "deadline", "budget", "longest op", "arena", "policy", "in"):
        tasks.add_column(column, justify="left" if column in ("task", "policy", "in") else "right")
    for task in description["tasks"]:
        tasks.add_row(
            task["name"],
            f"{task['period_us']:,} us",
            f"{task['deadline_us']:,} us",
            f"{task['budget_us']:,} us",
            f"{task['longest_op_us']:,} us",
            f"{task['arena_bytes']:,} B",
            task["policy"],
            f"{task['source']['kind']} {task['source']['name']}",
        )
    payloads = Table(title="Payloads", title_justify="left")
    for column in ("name", "offset", "bytes", "SHA-256"):
        payloads.add_column(column, justify="right" if column in ("offset", "bytes") else "left")
    for payload in description["payloads"]:
        payloads.add_row(
            payload["name"],
            f"{payload['offset']:,}",
            f"{payload['bytes']:,}",
            payload["sha256"][:16],
        )
    return Group(head, tasks, payloads)


def _task(info: PackageInfo, task: dict[str, Any]) -> dict[str, Any]:
    """A task of the manifest with real numbers for float bits and hex for digests."""
    return {
        **task,
        "plan": info.payloads[task["plan"]].name,
        "input": _tensor(task["input"]),
        "output": _tensor(task["output"]),
        "source": {**_without(task["source"], "lsb_f32"), "lsb": _real(task["source"]["lsb_f32"])},
        "selftest": [
            {
                "input": info.payloads[test["input"]].name,
                "output_sha256": test["output_sha256"].hex(),
            }
            for test in task["selftest"]
        ],
    }


def _tensor(tensor: dict[str, Any]) -> dict[str, Any]:
    return {**_without(tensor, "scale_f32"), "scale": _real(tensor["scale_f32"])}


def _without(record: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != key}


def _real(bits: int) -> float:
    value: float = struct.unpack("<f", struct.pack("<I", bits))[0]
    return value
