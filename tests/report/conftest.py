"""Every comparison is made in a folder of its own, and makes no files of figures unless it is asked to."""

from pathlib import Path

import pytest

from genlab.plots.style import Drawing


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def _figures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fonts in PDF files take most of the time of a comparison: only the tests that ask for `drawn` make them."""
    if "drawn" not in request.fixturenames:
        for room in ("bars", "curves", "sweeps"):
            monkeypatch.setattr(
                f"genlab.report.{room}.save", lambda _, __, name, text: Drawing(name, text, "<svg></svg>")
            )


@pytest.fixture
def drawn() -> None:
    """Figures as files."""
