"""The look of all figures: one colour, marker and line for each row, the width of a journal column, fonts embedded.

The colours are those of Okabe and Ito, which every kind of colour vision distinguishes. Rows beyond the eighth repeat them with
another line and marker. On the page each colour is a CSS variable, so that a dark page can lighten it.
"""

import io
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from genlab.plots.light_font import families

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5d3a9b", "#7f7f7f")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
LINES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))
INK, GRID, FAINT = "#1a1a1b", "#d9d9da", "#8a8a8b"
WIDTH = 3.4  # inches, a single column
GLYPH = "DejaVuSans"  # with which matplotlib starts the id of a letter in an SVG
LETTER = "g"  # with which it starts on a page

SETTINGS: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same everywhere
    "font.size": 8,
    "axes.labelsize": 8.5,
    "axes.linewidth": 0.6,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.useoffset": False,
    "grid.color": GRID,
    "grid.linewidth": 0.5,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.3,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "legend.handlelength": 1.8,
    "pdf.fonttype": 42,  # TrueType, which journals take
    "svg.fonttype": "path",
    "text.parse_math": False,  # a dollar in a label is a dollar
    "svg.hashsalt": "genlab",
}


@dataclass(frozen=True)
class Drawing:
    """A figure on disk (`name`.pdf and `name`.svg), and its SVG for the page."""

    name: str
    caption: str
    svg: str


def colour(number: int) -> str:
    return COLOURS[(number - 1) % len(COLOURS)]


def marker(number: int) -> str:
    k = number - 1
    return MARKERS[(k + k // len(COLOURS)) % len(MARKERS)]


def line(number: int) -> Any:
    return LINES[(number - 1) // len(COLOURS) % len(LINES)]


@contextmanager
def figure(height: float) -> Iterator[Figure]:
    """An empty figure of one column's width and `height` inches, with the settings of all figures."""
    with mpl.rc_context({**SETTINGS, "font.family": families()}):
        yield Figure(figsize=(WIDTH, height), layout="constrained")


def save(drawn: Figure, folder: Path, name: str, caption: str) -> Drawing:
    """Write `name`.pdf and `name`.svg; the files are the same for the same content."""
    engine = drawn.get_layout_engine()
    if engine is not None and drawn.axes:
        engine.execute(drawn)
        drawn.set_layout_engine(None)  # once is enough: with an engine, each file is drawn twice
    drawn.savefig(folder / f"{name}.pdf", transparent=True, metadata={"CreationDate": None})
    text = io.StringIO()
    drawn.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    (folder / f"{name}.svg").write_text(text.getvalue())
    return Drawing(name, caption, inline(text.getvalue(), name, caption))


def inline(svg: str, name: str, caption: str) -> str:
    """The SVG as a part of a page: its own ids, its colours as CSS variables, no fixed size, a name for screen readers.

    Letters keep their ids, which are the same in all figures: `share_glyphs` leaves one of each on a page.
    """
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<g id=\"[^\"]*\"", "<g", re.sub(r"\s*\n\s*", "\n", svg))
    svg = _short_ids(svg.replace("xlink:href", "href"), f"f{zlib.crc32(name.encode()):08x}"[:7])
    svg = re.sub(r'<path d="[^"]*" style="fill: none"/>\n', "", svg)  # a background that nobody sees
    svg = re.sub(r"(?<!scale\()\b(\d+\.\d\d)\d+(?=[ \n\",)])", r"\1", svg)  # hundredths of a point
    svg = re.sub(r'(<use href="[^"]*") transform="translate\(([-\d.]+) 0\)"/>', r'\1 x="\2"/>', svg)  # a letter
    for k, hue in enumerate(COLOURS):
        svg = svg.replace(hue, f"var(--row{k})")
    for hue, variable in ((INK, "--ink"), (GRID, "--rule"), (FAINT, "--faint")):
        svg = svg.replace(hue, f"var({variable})")
    label = re.sub(r"[^\w\s.,:;()=+-]", "", caption)
    return re.sub(
        r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', rf'<svg viewBox="\1" role="img" aria-label="{label}">', svg, count=1
    )


def _short_ids(svg: str, start: str) -> str:
    """Ids are `start` and a number, those of letters LETTER and theirs: half of a figure is references to them."""
    numbers: dict[str, int] = {}

    def short(found: re.Match[str]) -> str:
        name = found[2]
        if name.startswith(GLYPH):
            return found[1] + LETTER + name.removeprefix(GLYPH)
        return f"{found[1]}{start}-{numbers.setdefault(name, len(numbers))}"

    return re.sub(r'\b(id="|href="#|url\(#)([^")]+)', short, svg)


def share_glyphs(svgs: Sequence[str]) -> tuple[list[str], str]:
    """The figures of one page without the outlines of their letters, and an SVG of no size with each of these once."""
    outlines: dict[str, str] = {}

    def take(found: re.Match[str]) -> str:
        outlines.setdefault(found[1], found[0])
        return ""

    pattern = rf'<path id="({LETTER}[^"]*)"[^>]*/>\s*'
    left = [re.sub(r"<defs>\s*</defs>\s*", "", re.sub(pattern, take, svg)) for svg in svgs]
    hidden = 'width="0" height="0" style="position:absolute" aria-hidden="true"'
    return left, f"<svg {hidden}><defs>{''.join(outlines.values())}</defs></svg>"
