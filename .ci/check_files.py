"""Checks of files before a commit, without a network: `python .ci/check_files.py FILE ...` prints what is wrong and exits with 1.

A text file ends in one newline, has no spaces at the end of a line and no marks of a merge. No file is larger than 500 kB.
"""

import sys
from pathlib import Path

LARGEST = 500_000  # bytes
MARKS = ("<" * 7 + " ", ">" * 7 + " ")


def faults(path: Path) -> list[str]:
    """What is wrong with one file, in words."""
    content = path.read_bytes()
    found = [f"has {len(content):,} bytes, and at most {LARGEST:,} are allowed"] if len(content) > LARGEST else []
    if b"\0" in content or not content:
        return found  # no text
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return found
    if not text.endswith("\n") or text.endswith("\n\n"):
        found.append("does not end in one newline")
    for number, line in enumerate(text.split("\n"), 1):
        if line != line.rstrip():
            found.append(f"line {number} ends in a space")
        if line.startswith(MARKS):
            found.append(f"line {number} is left from a merge")
    return found


def main(paths: list[str]) -> int:
    wrong = [f"{path}: {fault}" for path in paths if Path(path).is_file() for fault in faults(Path(path))]
    print("\n".join(wrong), end="\n" if wrong else "")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
