"""What Hydra is offered for sweeps: the ready settings in conf/launcher and conf/sweeper, and the sweeper of genlab."""

import os
from functools import cache

import yaml

from genlab.composition.resolvers import register
from genlab.config.packages import own_files
from genlab.sweeping.launchers import GROUPS, SWEEPER
from genlab.sweeping.optuna_sweeper import OptunaSweeper


def prepare_hydra() -> None:
    """Before Hydra runs a command in this process."""
    register()
    offer_plugins()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # its errors come to us, where Hydra would print them and exit


@cache
def offer_plugins() -> None:
    """From now on hydra/launcher=joblib and the others are those of conf/, in this process, and Hydra knows the sweeper.

    They go into Hydra's own store and not into its search path: a file there would be merged with the plugin's settings of the
    same name, with a warning. Files of the user's --config-dir come before both.
    """
    from hydra.core.config_store import ConfigStore
    from hydra.core.plugins import Plugins

    plugins = Plugins.instance()  # those that are installed store their settings first
    plugins.class_name_to_class[SWEEPER] = OptunaSweeper
    for group in GROUPS:
        for name, file in own_files(group):
            node = yaml.safe_load(file.read_text(encoding="utf-8"))
            ConfigStore.instance().store(group=f"hydra/{group}", name=name, node=node, provider="genlab")
