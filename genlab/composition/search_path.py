"""Where Hydra looks for configurations: genlab's own first, then those of installed packages and of the user's --config-dir."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin

from genlab.config.packages import USERS, packages


def extend(search_path: ConfigSearchPath, folders: Sequence[Path]) -> None:
    """Add the folders of installed packages, then `folders` of the user."""
    for package in packages():
        search_path.append(provider=package.name, path=f"file://{package.conf}")
    for folder in folders:
        search_path.append(provider="config-dir", path=f"file://{folder}")


class BesideGenlab(SearchPathPlugin):
    """The folders by their paths: by the names of their packages Hydra would import these."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        extend(search_path, USERS)


@cache
def offer_packages() -> None:
    """From now on Hydra finds their configurations, in this process."""
    Plugins.instance().register(BesideGenlab)
