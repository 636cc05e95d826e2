"""The font of the figures that are written as PDF: DejaVu Sans, which comes with matplotlib, without what no figure needs.

matplotlib reads and shortens the whole font for every file that it writes, most of the time that a PDF takes. Here it is
shortened once, to European letters, Greek and signs. What they look like, and how far apart they stand, does not change. Other
letters come from the whole font.
"""

import tempfile
from functools import cache

from matplotlib.font_manager import findfont, fontManager

WHOLE = "DejaVu Sans"
LIGHT = "genlab sans"
LETTERS = (*range(0x20, 0x250), *range(0x370, 0x400), *range(0x2000, 0x2300))
FAMILY, FULL_NAME, TYPOGRAPHIC_FAMILY = 1, 4, 16  # entries of a font's table of names


@cache
def families() -> list[str]:
    """Names of the font and of the one that has all other letters, for matplotlib's font.family."""
    from fontTools import subset  # type: ignore[import-untyped]  # comes with matplotlib

    options = subset.Options(glyph_names=True, notdef_outline=True, name_IDs=["*"], layout_features=["kern", "liga"])
    options.drop_tables += ["FFTM", "MATH"]
    font = subset.load_font(findfont(WHOLE), options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=LETTERS)
    subsetter.subset(font)
    for entry in font["name"].names:
        if entry.nameID in (FAMILY, FULL_NAME, TYPOGRAPHIC_FAMILY):
            entry.string = LIGHT
    file = tempfile.NamedTemporaryFile(prefix="genlab-", suffix=".ttf")  # noqa: SIM115  # removed when this process ends
    font.save(file.name)
    fontManager.addfont(file.name)
    _kept.append(file)
    return [LIGHT, WHOLE]


_kept: list[object] = []
