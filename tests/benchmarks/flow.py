"""Normalizing flows of 16 components: spline couplings and masked autoregressive layers, genlab's and zuko's.

Both have the same layers, widths, bins and batches, reversals between layers, Adam at one rate, float32 on the CPU; each loop
trains the bare model. A second row of each is log p(x) without gradients. Zuko's couplings are autoregressive layers of two
passes, whose networks see all components through masks: it has the larger networks for the same map.
"""

import importlib
import importlib.util
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from genlab.models.flows.flow import Flow
from tests.benchmarks.contest import Contest, Options, Seconds
from tests.helpers.support import configure, make_model, spec_of

DIM, BATCH, EXAMPLES, LR = 16, 128, 25_600, 1e-3
HIDDEN, BINS, COUPLINGS, MASKED = 64, 8, 6, 5

ABSENT = "zuko is not installed: pip install 'genlab[bench]'"

ABOUT = {
    "genlab": f"{COUPLINGS} spline couplings of {BINS} bins, training",
    "zuko": "NSF with passes=2, training",
    "genlab, log p": "the same, log p(x) alone",
    "zuko, log p": "the same, log p(x) alone",
    "genlab MAF": f"{MASKED} affine masked layers, training",
    "zuko MAF": "MAF, training",
    "genlab MAF, log p": "the same, log p(x) alone",
    "zuko MAF, log p": "the same, log p(x) alone",
}


def has_zuko() -> bool:
    return importlib.util.find_spec("zuko") is not None


def contest(options: Options) -> Contest:
    x = torch.randn(EXAMPLES, DIM, generator=torch.Generator().manual_seed(0)).exp().log1p()
    makers: dict[str, Callable[[], nn.Module]] = {
        "genlab": partial(
            ours, x, "model.layers=coupling", f"model.depth={COUPLINGS}", f"model.hidden=[{HIDDEN},{HIDDEN}]"
        ),
        "genlab MAF": partial(
            ours, x, "model.layers=autoregressive", f"model.depth={MASKED}", f"model.hidden=[{HIDDEN},{HIDDEN}]"
        ),
    }
    if has_zuko():
        makers |= {"zuko": partial(theirs, "NSF"), "zuko MAF": partial(theirs, "MAF")}
    pairs = {"training a spline flow": "", "log p of a spline flow": ", log p"}
    pairs |= {"training a MAF": " MAF", "log p of a MAF": " MAF, log p"}
    return Contest(
        title=f"flows of {DIM} components, batches of {BATCH}",
        images=EXAMPLES,
        loops={name: partial(timed, name, make, x) for name, make in makers.items()},
        about=ABOUT,
        absent=[] if has_zuko() else [ABSENT],
        shares={f"zuko, {text}: longer by": (f"zuko{row}", f"genlab{row}") for text, row in pairs.items()}
        if has_zuko()
        else {},
        unit="examples",
    )


def ours(x: Tensor, *overrides: str) -> nn.Module:
    plain = ["model.mixing=reverse", "model.activation_norm=false"]
    if "model.layers=autoregressive" not in overrides:  # whose maps are affine
        plain.append(f"model.bins={BINS}")
    return make_model(configure("model=flow", *plain, *overrides), spec_of(x[:1000]))


def theirs(kind: str) -> nn.Module:
    flows: Any = importlib.import_module("zuko.flows")
    widths = (HIDDEN, HIDDEN)
    if kind == "MAF":
        found: nn.Module = flows.MAF(DIM, transforms=MASKED, hidden_features=widths)
        return found
    found = flows.NSF(DIM, transforms=COUPLINGS, bins=BINS, passes=2, hidden_features=widths)
    return found


def timed(name: str, make: Callable[[], nn.Module], x: Tensor, examples: int) -> Mapping[str, float]:
    """Seconds of training on so many examples, and of log p(x) of as many."""
    torch.manual_seed(0)
    model: Any = make()
    log_prob = model.log_prob if isinstance(model, Flow) else lambda batch: model().log_prob(batch)
    optimizer = torch.optim.Adam(model.parameters(), lr=LR, fused=True)
    batches = x[:examples].split(BATCH)
    began = time.perf_counter()
    for batch in batches:
        loss = -log_prob(batch).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    trained = time.perf_counter()
    with torch.no_grad():
        for batch in batches:
            log_prob(batch)
    found: Seconds = {name: trained - began, f"{name}, log p": time.perf_counter() - trained}
    return found
