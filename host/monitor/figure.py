"""How the figures of the report and of the live page look, and how they become part of a page.

Text stays text and every colour is a CSS variable, so that one drawing serves light and dark pages.
The same numbers give the same bytes. A tooltip is a gid of the form `tip:...`.
"""

import io
import re
from typing import Any
from xml.etree import ElementTree as ET

from matplotlib.figure import Figure

# Drawn colour -> CSS variable of the page.
INK, MUTED, GRID, LATE, BUDGET, RESPONSE, START, CARD = (f"#0101{n:02x}" for n in range(8))
BUFFERS = tuple(f"#0102{n:02x}" for n in range(6))
_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    LATE: "--late",
    BUDGET: "--budget",
    RESPONSE: "--response",
    START: "--start",
    CARD: "--card",
    **{colour: f"--buffer{n}" for n, colour in enumerate(BUFFERS)},
}

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
}
_SVG = "http://www.w3.org/2000/svg"


def inline_svg(figure: Figure, title: str) -> str:
    """The figure as an <svg> element for a page: CSS colours, tooltips, no ids that could clash."""
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    ET.register_namespace("", _SVG)
    ET.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    root = ET.fromstring(text)
    metadata = root.find(f"{{{_SVG}}}metadata")
    if metadata is not None:
        root.remove(metadata)
    used = set(re.findall(r"#([\w.-]+)", " ".join(_references(root))))
    for element in root.iter():
        name = element.get("id")
        if name is None:
            continue
        if name.startswith("tip:"):
            tip = ET.Element(f"{{{_SVG}}}title")
            tip.text = name.split(":", 2)[2]
            element.insert(0, tip)
        if name not in used:
            del element.attrib["id"]
    for size in ("width", "height"):
        root.attrib.pop(size, None)
    root.set("role", "img")
    root.set("aria-label", title)
    return ET.tostring(root, encoding="unicode")


def _references(root: ET.Element) -> list[str]:
    return [
        value
        for element in root.iter()
        for key, value in element.attrib.items()
        if "#" in value and key != "id"
    ]
