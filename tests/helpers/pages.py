"""The pages of the repository as text (code, commands, settings, links, headings, tables), and what they may speak of."""

import functools
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.helpers.processes import REPOSITORY

PAGES = sorted(
    [
        REPOSITORY / "README.md",
        REPOSITORY / "conf" / "README.md",
        *(REPOSITORY / "outputs" / "readme").glob("*.md"),
        *(REPOSITORY / ".github").glob("*.md"),
        *(REPOSITORY / "genlab").rglob("*.md"),
    ]
)
PROGRAMS = ("genlab", "make", "pip", "python", "source", "eval", "bash")
"""What a command on a page may begin with."""

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
REFERENCE = re.compile(r"\[[^\]\[]+\]\[([\w-]+)\]")
DEFINITION = re.compile(r"^\[([\w-]+)\]: (\S+)$", re.MULTILINE)
SETTING = re.compile(r"[a-z][\w./]*=\S+")


@dataclass(frozen=True)
class Page:
    """Without comments. `blocks` are the fenced ones, (language, content); `prose` is everything else."""

    path: Path
    blocks: list[tuple[str, str]]
    prose: str

    @property
    def name(self) -> str:
        return str(self.path.relative_to(REPOSITORY))

    def spans(self) -> list[str]:
        """Code spans, those in tables included."""
        paragraphs = re.split(r"\n\n|\n(?=\|)", self.prose)
        return [" ".join(span[2].split()).replace("\\|", "|") for text in paragraphs for span in SPAN.finditer(text)]

    def lines(self) -> list[str]:
        """The lines of blocks of commands, and spans that are commands: as one would type them."""
        found = [line for language, text in self.blocks if language == "bash" for line in text.splitlines()]
        indented = [line.strip() for line in self.prose.splitlines() if line.startswith("    ")]
        spans = [span for span in self.spans() if " " in span]
        return found + [line for line in indented + spans if line.split()[0] in PROGRAMS]

    def settings(self) -> list[str]:
        """Spans of nothing but key=value: what one would add to a command."""
        found = [(span, _words(span)) for span in self.spans() if "=" in span]
        return [span for span, words in found if words and all(SETTING.fullmatch(word) for word in words)]

    def links(self) -> Iterator[str]:
        """Where links, pictures and references lead."""
        text = SPAN.sub("", self.prose)
        for match in LINK.finditer(self.prose):
            yield match[3]
            for inner in LINK.finditer(match[2]):
                yield inner[3]
        for match in DEFINITION.finditer(text):
            yield match[2]

    def anchors(self) -> set[str]:
        """What #... may name: a heading in small letters, without signs, blanks as hyphens."""
        headings = re.findall(r"^#+ (.+)$", self.prose, re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

    def tables(self) -> Iterator[list[list[str]]]:
        """Rows of cells of each table, the head first."""
        for text in re.findall(r"(?:^\|.*\n)+", self.prose, re.MULTILINE):
            rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in text.splitlines()]
            yield [row for row in rows if not all(re.fullmatch(r":?-+:?", cell) for cell in row)]


def read(path: Path) -> Page:
    text = COMMENT.sub("", path.read_text(encoding="utf-8"))
    return Page(path, [(m[1], m[2]) for m in FENCE.finditer(text)], FENCE.sub("", text))


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:  # an apostrophe
        return []


@functools.cache
def configurations() -> dict[Path, dict[str, Any]]:
    """Content of every file in conf/."""
    return {path: yaml.safe_load(path.read_text()) or {} for path in sorted((REPOSITORY / "conf").rglob("*.yaml"))}


@functools.cache
def make_targets() -> frozenset[str]:
    return frozenset(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
