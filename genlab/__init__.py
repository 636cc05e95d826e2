"""genlab: a laboratory for generative models, on the command line and in Python.

    import genlab

    run = genlab.train("model=vae", "dataset=digits")
    run.sample(64)
    run.evaluate()
    genlab.compare(run, "latest")

Nothing heavy is imported before it is used.
"""

import random
from importlib import import_module
from typing import TYPE_CHECKING, Any

from genlab.errors import GenlabError, InterruptedRun, NonFiniteError

if TYPE_CHECKING:
    from genlab.interface.calls import compare, load, restore, runs, train
    from genlab.interface.run import Run

__version__ = "0.1.0"
__all__ = ["GenlabError", "InterruptedRun", "NonFiniteError", "Run", "compare", "load", "restore", "runs", "train"]

_PLACES = {
    "Run": "genlab.interface.run",
    "compare": "genlab.interface.calls",
    "load": "genlab.interface.calls",
    "restore": "genlab.interface.calls",
    "runs": "genlab.interface.calls",
    "train": "genlab.interface.calls",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'genlab' has no attribute '{name}'")
    from genlab.numerics.freed_memory import keep_freed_memory
    from genlab.numerics.waiting import import_torch

    drawn = random.getstate()  # libraries draw names of temporary files when they are imported
    keep_freed_memory()
    import_torch()
    found = globals()[name] = getattr(import_module(_PLACES[name]), name)
    random.setstate(drawn)
    return found


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
