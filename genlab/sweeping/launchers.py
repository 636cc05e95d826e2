"""Hydra's launchers and sweepers: ready settings in conf/launcher and conf/sweeper, and one line where a package is missing."""

import json
import os
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from genlab.errors import GenlabError
from genlab.numerics.processor import cores

GROUPS = ("launcher", "sweeper")
"""Groups of Hydra's own, hydra/launcher and hydra/sweeper, of which genlab has choices."""
SWEEPER = "hydra_plugins.genlab.OptunaSweeper"
"""The name under which Hydra knows optuna_sweeper.py: it takes only plugins whose name begins so."""
NEEDS = {
    "hydra_plugins.hydra_joblib_launcher": ("launchers", ("joblib", "hydra_plugins.hydra_joblib_launcher")),
    "hydra_plugins.hydra_submitit_launcher": ("launchers", ("submitit", "hydra_plugins.hydra_submitit_launcher")),
    "hydra_plugins.hydra_ray_launcher": ("ray", ("ray", "hydra_plugins.hydra_ray_launcher")),
    SWEEPER: ("optuna", ("optuna", "sqlalchemy")),
}
"""Beginning of a target -> the extra that it needs, and the modules of it."""


def section_of(hydra: Any, group: str) -> Mapping[str, Any]:
    """The launcher or the sweeper of Hydra's section. Raises GenlabError where something else stands there."""
    section = hydra[group]
    if not isinstance(section, Mapping):
        value = json.dumps(section)
        raise GenlabError(f"hydra.{group}={value}: {value} is no section; choose a {group}, as hydra/{group}=basic")
    return section


def require_plugins(hydra: Mapping[str, Any]) -> None:
    """Raises GenlabError where the launcher or the sweeper of Hydra's section needs a package that is not installed."""
    for group in GROUPS:
        target = str(section_of(hydra, group).get("_target_"))
        for beginning, (extra, modules) in NEEDS.items():
            if target.startswith(beginning) and (missing := [name for name in modules if not _is_there(name)]):
                choice = hydra["runtime"]["choices"].get(f"hydra/{group}") or target.rpartition(".")[2]
                raise GenlabError(
                    f"hydra/{group}={choice}: {missing[0].rpartition('.')[2]} is not installed; install it with: "
                    f"pip install 'genlab[{extra}]'"
                )


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of the package around it
        return False


def jobs_at_once(launcher: Mapping[str, Any]) -> int:
    """How many jobs a launcher runs side by side, as far as its settings say."""
    target = str(launcher.get("_target_"))
    if ".hydra_joblib_launcher." in target:
        jobs = int(launcher.get("n_jobs") or 1)
        return jobs if jobs > 0 else max(1, cores() + 1 + jobs)
    if ".SlurmLauncher" in target:
        return int(launcher.get("array_parallelism") or 1)
    if ".hydra_ray_launcher." in target:
        ray = launcher.get("ray") or {}
        own = (ray.get("init") or {}).get("num_cpus") or cores()
        return max(1, int(own / ((ray.get("remote") or {}).get("num_cpus") or 1)))
    if ".LocalLauncher" in target:
        return max(1, cores() // int(launcher.get("cpus_per_task") or 1))
    return 1


def threads_of_a_job(launcher: Mapping[str, Any]) -> int | None:
    """Threads of one operation in a job of this launcher, at most OMP_NUM_THREADS; None where nothing says so.

    So jobs side by side do not wait for each other's threads.
    """
    target = str(launcher.get("_target_"))
    if ".hydra_joblib_launcher." in target:
        share = cores() // jobs_at_once(launcher)
    elif ".hydra_submitit_launcher." in target:
        share = int(launcher.get("cpus_per_task") or 0)
    elif ".hydra_ray_launcher." in target:
        share = int(((launcher.get("ray") or {}).get("remote") or {}).get("num_cpus") or 0)
    else:
        return None
    most = os.environ.get("OMP_NUM_THREADS", "")
    share = min(share, int(most)) if most.isdigit() else share
    return share or (1 if ".hydra_joblib_launcher." in target else None)


def with_share_of_threads(config: dict[str, Any], launcher: Mapping[str, Any]) -> dict[str, Any]:
    """`config` with the threads of a job of this launcher, where device.threads says nothing."""
    device = config.get("device")
    share = threads_of_a_job(launcher) if isinstance(device, dict) and device.get("threads", 1) is None else None
    return config if share is None else {**config, "device": {**config["device"], "threads": share}}
