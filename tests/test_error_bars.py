"""The coverage of every error that genlab states (make test-slow); python -m tests.error_bars prints the table."""

import importlib

import pytest

from tests.error_bars.__main__ import PARTS
from tests.error_bars.study import study


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_two_standard_errors_cover_the_truth_as_often_as_they_should(part: str) -> None:
    for case in importlib.import_module(f"tests.error_bars.{part}").CASES:
        for row in study(case):
            assert row.holds or row.reason, row
