"""The tables as text: Markdown for notes, LaTeX (booktabs) for reports."""

import re
from collections.abc import Sequence

from genlab.metrics.rounding import latex, plain, rounded
from genlab.report.rows import Cell
from genlab.report.tables import MARKS, MetricTable, marks_of, why_apart

PACKAGES = ("booktabs", "amsmath", "adjustbox")  # that the LaTeX needs
MOST_FLOATS = 12  # tables in a row that LaTeX can hold back
ARROWS = {"lower": "↓", "higher": "↑"}


def markdown(tables: Sequence[MetricTable], title: str) -> str:
    """All tables under headings."""
    parts = [f"# {escape_markdown(title)}", MARKS.replace("Bold", "**Bold**")]
    for group in dict.fromkeys(table.group for table in tables):
        same = [table for table in tables if table.group == group]
        parts += [f"## {group}", *(text for text in (same[0].about, why_apart(same)) if text)]
        for table in same:
            parts.append(f"*{escape_markdown(table.caption)}*")
            heads = ["row", "seeds", *(_head(table, j) for j in range(len(table.columns)))]
            lines = [_markdown_line(heads), "|---|" + "---:|" * (len(heads) - 1)]
            for heading, members in table.parts:
                if heading:
                    lines.append(_markdown_line([f"*{escape_markdown(heading)}*", *("" for _ in heads[1:])]))
                for line in members:
                    texts = [_plain(cell) for cell in line.cells]
                    marked = {"best": "**{}**", "tie": "{} ≈"}
                    texts = [marked.get(mark, "{}").format(text) for text, mark in zip(texts, line.marks, strict=True)]
                    lines.append(_markdown_line([escape_markdown(line.label), str(line.seeds), *texts]))
            for reference in table.references:
                texts = [_plain(cell) for cell in reference.cells]
                lines.append(_markdown_line([f"*{reference.label}*", "", *texts]))
            parts += ["\n".join(lines), *map(escape_markdown, table.remarks)]
    return "\n\n".join(parts) + "\n"


def tex(tables: Sequence[MetricTable], title: str) -> str:
    """One table environment a table, to be taken by \\input. A table wider than the page is made smaller."""
    needs = f"Needs \\usepackage{{{','.join(PACKAGES)}}}."
    parts = [f"% {_comment(title)}\n% {needs}"]
    for number, table in enumerate(tables, 1):
        apart = why_apart([other for other in tables if other.group == table.group])
        caption = " ".join(
            escape_latex(text)
            for text in (f"{table.group}: {table.caption}.", table.about, apart, *table.remarks, marks_of(table))
            if text
        )
        first = [("row", ""), ("seeds", "")][: 1 + table.several_seeds]
        heads = [_tex_head(table, j) for j in range(len(table.columns))]
        lines = [
            "\\begin{table}",
            "  \\centering",
            f"  \\caption{{{caption}}}",
            "  \\begin{adjustbox}{max width=\\linewidth}",
            f"  \\begin{{tabular}}{{l{'r' * (len(first) - 1 + len(table.columns))}}}",
            "    \\toprule",
            *(f"    {' & '.join(level)} \\\\" for level in zip(*first, *heads, strict=True)),
            "    \\midrule",
        ]
        for heading, members in table.parts:
            if heading:
                lines.append(
                    f"    \\multicolumn{{{len(first) + len(table.columns)}}}{{l}}{{\\textit{{{escape_latex(heading)}}}}} \\\\"
                )
            for line in members:
                texts = [_latex(cell, mark) for cell, mark in zip(line.cells, line.marks, strict=True)]
                name = [escape_latex(line.label), str(line.seeds)][: len(first)]
                lines.append(f"    {' & '.join([*name, *texts])} \\\\")
        if table.references:
            lines.append("    \\midrule")
        for reference in table.references:
            texts = [_latex(cell) for cell in reference.cells]
            name = [f"\\textit{{{reference.label}}}", ""][: len(first)]
            lines.append(f"    {' & '.join([*name, *texts])} \\\\")
        lines += ["    \\bottomrule", "  \\end{tabular}", "  \\end{adjustbox}", "\\end{table}"]
        parts.append("\n".join(lines) + "\n\\clearpage" * (number % MOST_FLOATS == 0))
    return "\n\n".join(parts) + "\n"


def _plain(cell: Cell | None) -> str:
    number = plain(rounded(cell.value, cell.error) if cell else None)
    return f"{number} ({escape_markdown(cell.note)})" if cell and cell.note else number


def _latex(cell: Cell | None, mark: str = "") -> str:
    number = latex(rounded(cell.value, cell.error) if cell else None, mark)
    return f"{number} ({escape_latex(cell.note)})" if cell and cell.note else number


def escape_markdown(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>|#~&])", r"\\\1", _one_line(text))


SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "±": r"$\pm$",
    "≈": r"$\approx$",
    "†": r"$\dagger$",
    "…": r"\dots{}",
    "—": "---",
    **{sign: "\\" + sign for sign in "{}$&#%_"},
}


def escape_latex(text: str) -> str:
    return "".join(SPECIAL.get(sign, sign) for sign in _one_line(text))


def _comment(text: str) -> str:
    return _one_line(text)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _head(table: MetricTable, j: int) -> str:
    column = table.columns[j]
    details = escape_markdown(", ".join(column.details))
    return (
        f"{escape_markdown(column.label)} {ARROWS.get(column.better, '')} {f'({details})' if details else ''}".strip()
    )


def _tex_head(table: MetricTable, j: int) -> tuple[str, str]:
    column = table.columns[j]
    arrow = {"lower": r" $\downarrow$", "higher": r" $\uparrow$"}.get(column.better, "")
    return escape_latex(column.label) + arrow, escape_latex(", ".join(column.details))


def _markdown_line(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"
