"""Messages: one line of printable characters, cut in the middle where it is too long."""

import pytest

from genlab.errors import LONGEST_LINE, LONGEST_WORD, in_one_line

MESSAGES = {
    "short": ("seed=3: no", "seed=3: no"),
    "lines": (" seed=3:\n  no \n\n way ", "seed=3:; no; way"),
    "control characters": ("seed=\x1b[31m\x07: no", "seed=\\x1b[31m\\x07: no"),
    "half a character": ("seed=\ud83e: no", "seed=\\ud83e: no"),
    "letters": ("seed=café 日本: no", "seed=café 日本: no"),
    "a long word": (f"seed={400 * 'x'}: set seed=1", f"seed={39 * 'x'}...{42 * 'x'}: set seed=1"),
}


@pytest.mark.parametrize("kind", MESSAGES)
def test_a_message_is_one_line(kind: str) -> None:
    given, shown = MESSAGES[kind]
    assert in_one_line(given) == shown


def test_a_long_message_keeps_its_beginning_and_its_end() -> None:
    line = in_one_line("seed=3: " + 100 * "one of many, " + "; set seed=1")
    assert len(line) == LONGEST_LINE
    assert line.startswith("seed=3: one of")
    assert line.endswith("; set seed=1")
    fits = "seed=3: " + (LONGEST_LINE - 8) * "x"
    assert in_one_line(fits) == fits, "nothing is cut where all of it fits"
    assert max(map(len, in_one_line(f"a {200 * 'x'} {200 * 'y'}").split(" "))) == LONGEST_WORD
