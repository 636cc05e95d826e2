"""Pictures of the runs for the page: PNG files, checked, made small, inlined, never scaled up but by a whole number."""

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from genlab.report.read_runs import Run
from genlab.report.rows import Row

SIGNATURE, LAST = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
SMALL = 280  # pixels; a picture below is enlarged by a whole number
FIRST_CARDS = 8  # rows shown at once; the others on request
MOST_PIXELS = 280  # of the longer side of a picture that is shown on request only; the run folder has the whole one
WIDE = 1000  # pixels, from which on a picture is a figure whose lines and numbers have to be read
MOST_WIDE = 1000
QUALITY = 50
LARGEST = 50_000_000  # pixels that are decoded; genlab draws no picture so large


@dataclass(frozen=True)
class InlinePicture:
    """A picture as a data URI; width and height in CSS pixels."""

    uri: str
    width: int
    height: int
    enlarged: bool

    @property
    def wide(self) -> bool:
        """Whether it needs more room than others beside each other."""
        return self.width >= WIDE and self.width > 1.5 * self.height


@dataclass(frozen=True)
class Card:
    row: Row
    caption: str
    picture: InlinePicture


@dataclass(frozen=True)
class Gallery:
    """One kind of picture for all rows; `note` says what the pictures have in common, or have not."""

    slug: str
    title: str
    note: str
    cards: list[Card]
    open: bool

    @property
    def first_of_page(self) -> bool:
        """Samples are what one compares first: those of all rows stand side by side before all tables."""
        return self.slug == "samples"

    @property
    def wide(self) -> bool:
        return any(card.picture.wide for card in self.cards)

    @property
    def first(self) -> list[Card]:
        return self.cards[:FIRST_CARDS]

    @property
    def rest(self) -> list[Card]:
        return self.cards[FIRST_CARDS:]


KINDS = (
    ("samples", "Samples", True),
    ("bands", "Means and spreads of bands", False),
    ("reconstructions", "Reconstructions", True),
    ("interpolation", "Interpolations", False),
    ("traversal", "Traversals", False),
    ("latent", "Latent space", False),
    ("denoising", "Denoising", False),
    ("anomaly", "Anomaly detection", False),
    ("anomalies", "Examples with the lowest and the highest anomaly scores", False),
    ("classes", "Classes of the samples", False),
    ("confusion", "Confusion of classes", False),
    ("neighbours", "Samples and their nearest training examples", False),
)


def galleries(rows: Sequence[Row]) -> list[Gallery]:
    """Every kind of picture of which there is one, with those of the first seed of each row."""
    found = []
    for name, title, opened in KINDS:
        cards, fallback = [], False
        for row in rows:
            most = None if opened else MOST_PIXELS
            card = _first(row, f"evaluation/{name}.png", _drawn_by_evaluation, most)
            if card is None:
                card = _first(row, f"samples/{name}.png", _drawn_in_training, most)
                fallback = fallback or card is not None
            if card is not None:
                cards.append(card)
        if cards:
            found.append(
                Gallery(name, title, _note(name, rows, fallback, all(_evaluated(c) for c in cards)), cards, opened)
            )
    return found


def read_png(path: Path, most: int | None = None) -> InlinePicture | None:
    """The picture, with `most` pixels on its longer side if that makes it smaller; None where there is no whole PNG."""
    try:
        content = path.read_bytes()
        if not content.startswith(SIGNATURE) or not content.rstrip(b"\0").endswith(LAST):
            return None
        with Image.open(io.BytesIO(content), formats=["PNG"]) as opened:
            if opened.width * opened.height > LARGEST:
                return None
            opened.load()
            picture = opened.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    width, height = picture.size
    if most is not None and width >= WIDE and width > 1.5 * height:
        most = MOST_WIDE
    kept = [("png", content), ("webp", _webp(picture, lossless=True))]
    picture.thumbnail((most or width, most or height))
    kept.append(("webp", _webp(picture, quality=QUALITY)))
    kind, content = min(kept, key=lambda entry: len(entry[1]))
    scale = max(1, SMALL // max(width, height))
    uri = f"data:image/{kind};base64," + base64.b64encode(content).decode()
    return InlinePicture(uri, width * scale, height * scale, scale > 1)


def _webp(picture: Image.Image, **options: bool | int) -> bytes:
    """Of the samples of fourteen runs a page would else be several megabytes."""
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", **options)
    return buffer.getvalue()


def _first(row: Row, place: str, caption: Callable[[Run], str], most: int | None) -> Card | None:
    """The picture of the first run of a row that has it."""
    for run in row.runs:
        picture = read_png(run.path / place, most)
        if picture is not None:
            return Card(row, caption(run), picture)
    return None


def _drawn_by_evaluation(run: Run) -> str:
    seed = run.evaluation.get("seed")
    return f"run of seed {run.seed}" + ("" if seed is None else f", drawn with seed {seed}")


def _drawn_in_training(run: Run) -> str:
    return f"run of seed {run.seed}, drawn at the end of training"


def _evaluated(card: Card) -> bool:
    return "end of training" not in card.caption


def _note(name: str, rows: Sequence[Row], fallback: bool, all_evaluated: bool) -> str:
    if name not in ("samples", "reconstructions"):
        return ""
    seeds = {str(run.evaluation["seed"]) for row in rows for run in row.runs[:1] if "seed" in run.evaluation}
    what = "random numbers" if name == "samples" else "test examples"
    if fallback:
        return "Not from one seed: pictures from the end of training use each run's own; genlab evaluate draws comparable ones."
    if len(seeds) > 1:
        return f"Not from one seed: the evaluations used {', '.join(sorted(seeds))}; evaluate again with one seed."
    return (
        f"Drawn from the same {what} for all rows of a data set (seed {', '.join(seeds)}), one run a row."
        if seeds and all_evaluated
        else ""
    )
