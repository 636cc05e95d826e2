"""Rows that change in a notebook: one output of the cell that is replaced, where a terminal has lines that are drawn anew."""

from html import escape
from typing import Any

from rich.console import Group
from rich.text import Text


class NotebookRows:
    """What rich's Live is for a terminal. Without IPython there is no notebook, and nobody makes one of these."""

    def __init__(self) -> None:
        self.transient = False
        self._output: Any = None

    def start(self) -> None:
        try:
            from IPython.display import display
        except ImportError:
            raise AssertionError("a notebook has IPython") from None
        self._output = display({"text/plain": ""}, raw=True, display_id=True)

    def update(self, rows: Group, refresh: bool = True) -> None:
        """Show these rows in the place of those before; none leaves nothing."""
        text = "\n".join(row.plain for row in rows.renderables if isinstance(row, Text))
        html = f"<pre style='margin:0'>{escape(text)}</pre>" if text else ""
        self._output.update({"text/plain": text, "text/html": html}, raw=True)

    def stop(self) -> None:
        """The last rows stay."""
