"""Models of a user's own: the family of the page of families, as a file, and as an installed package."""

import re
from pathlib import Path

from tests.helpers.processes import REPOSITORY

PAGE = (REPOSITORY / "genlab" / "models" / "README.md").read_text()
FAMILY = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0]
CONFIGURATION = re.findall(r"```yaml\n(# @package.*?)```", PAGE, re.DOTALL)[0]


def install(site: Path, name: str = "mymodel", version: str = "1.2", marker: str = "") -> None:
    """What `pip install --target SITE genlab-NAME` leaves there; `marker` is a statement that runs when it is imported."""
    package = site / f"genlab_{name}"
    (package / "conf" / "model").mkdir(parents=True)
    (package / "__init__.py").write_text(f"{marker}\n")
    (package / "mine.py").write_text(FAMILY)
    (package / "conf" / "model" / f"{name}.yaml").write_text(
        CONFIGURATION.replace("mine.Mine", f"genlab_{name}.mine.Mine")
    )
    info = site / f"genlab_{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: genlab-{name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[genlab.conf]\n{name} = genlab_{name}.conf\n")
    (info / "RECORD").write_text("")
