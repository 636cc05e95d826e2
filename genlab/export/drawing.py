"""How samples are drawn from an exported model without genlab: the code that stands in its card, for each kind of program."""

from genlab.export.program import Program

HEAD = """\
import json

import torch
from safetensors.torch import load_file

torch.manual_seed(0)
program = torch.export.load("model.pt2").module()
settings = json.load(open("config.json"))["program"]["settings"]
tensors = load_file("model.safetensors")
n = {n}
"""

CLASSES = 'y = torch.eye(settings["num_classes"])[torch.arange(n) % settings["num_classes"]]\n'

NORMAL = 'h = torch.randn(n, settings["latent_dim"])\n'
UNIFORM = 'h = 2 * torch.rand(n, settings["latent_dim"]) - 1\n'
KEPT = 'h = load_file("codes.safetensors")["h"][:n]  # draws of p(h)\n'

HIERARCHY = 'x = program(*(torch.randn(n, width) for width in settings["levels"]))\n'

SYMBOLS = """\
prior = torch.export.load("prior.pt2").module()
z = torch.zeros(n, settings["positions"], dtype=torch.int64)
for i in range(settings["positions"]):
    z[:, i] = torch.multinomial(prior(z)[:, i].softmax(1), 1)[:, 0]
x = program(z)
"""

DIFFUSION = """\
gammas = torch.tensor(settings["gammas"])  # log of sigma^2/alpha^2, the most noise first
alphas, sigmas = (-gammas).sigmoid().sqrt(), gammas.sigmoid().sqrt()
u = torch.randn(n, *settings["shape"])
for k in range(len(gammas) - 1):  # DDIM (Song et al. 2021)
    u_hat = program(u, gammas[k].expand(n){y})
    u = alphas[k + 1] * u_hat + sigmas[k + 1] * (u - alphas[k] * u_hat) / sigmas[k]
u = program(u, gammas[-1].expand(n){y})
"""

FLOW = """\
u, steps = torch.randn(n, *settings["shape"]), settings["steps"]
for k in range(steps):  # Euler's method from noise at t = 0 to data at t = 1
    u = u + program(u, torch.full((n,), k / steps){y}) / steps
"""

MACHINE = """\
d = settings["visible"] - settings["classes"]
v = torch.rand(n, settings["visible"]).round()
{classes}for _ in range(settings["sweeps"]):  # Gibbs sampling
    v, mean, free_energy = program(v, torch.rand(n, settings["hidden"]), torch.{noise}(n, d))
u = mean[:, :d]
"""
FIXED_CLASSES = 'v[:, d:] = torch.eye(settings["classes"])[torch.arange(n) % settings["classes"]]\n'

ENERGY = """\
u = {start}
for _ in range(settings["steps"]):
    u, energy = program(u, torch.{noise}(n, *settings["shape"]))
"""

AUTOREGRESSIVE = """\
u = torch.zeros(n, *settings["shape"])
noise = torch.rand(n, settings["dim"], settings["noises"])
for i in settings["orders"][0]:  # a whole pass for each component; genlab keeps what it knows and needs one in all
    u.view(n, -1)[:, i] = program(u, noise{y})[0].view(n, -1)[:, i]
"""

MIXTURE = """\
u = torch.zeros(n, *settings["shape"])
noise = torch.rand(n, settings["dim"], settings["noises"])
orders = torch.tensor(settings["orders"])
k = torch.randint(len(orders), (n,))  # the set of masks that draws each example
for i in orders[k].t():  # a whole pass for each component, which lies elsewhere in each order
    drawn = program(u, noise, k{y})[0].view(n, -1)
    u.view(n, -1).scatter_(1, i.view(n, 1), drawn.gather(1, i.view(n, 1)))
"""

CLASSIFIER = """\
x = torch.rand(n, *settings["shape"])  # put examples here
x = program(x).softmax(1)  # p(y|x)
"""

LOG_PROB = """\
x = torch.rand(n, *settings["shape"]){rounded}  # put examples here
x = program(x)  # log p(x) in nats
"""

SCALED = 'x = tensors["scaling.shift"] + tensors["scaling.scale"] * u\n'
CLAMPED = "x = x.clamp(0, 1)\n"
RESHAPED = 'x = x.view(n, *settings["shape"])\n'
UNITS = """\
units = json.load(open("config.json"))["data"]["units"]
x = torch.tensor(units["shift"]) + torch.tensor(units["scale"]) * x.double()  # in the units of the data
"""
MEASURES = ("classifier", "log_prob")
"""Kinds of programs that take examples."""
TAIL = "print(tuple(x.shape), float(x.min()), float(x.max()))\n"


def example(program: Program, n: int = 16, units: bool = False) -> str:
    """Code that draws `n` samples x, from the folder in which the files lie; with `units` config.json has those of the data."""
    conditional = bool(program.settings.get("num_classes"))
    y = ", y" if conditional else ""
    return (
        HEAD.format(n=n)
        + (CLASSES if conditional else "")
        + _body(program, y)
        + (UNITS if units and program.kind not in MEASURES else "")
        + TAIL
    )


def _body(program: Program, y: str) -> str:
    settings = program.settings
    match program.kind:
        case "decoder":
            codes = KEPT if program.codes is not None else UNIFORM if settings["uniform"] else NORMAL
            return f"{codes}x = program(h{y})\n"
        case "hierarchy":
            return HIERARCHY
        case "symbols":
            return SYMBOLS
        case "diffusion":
            return DIFFUSION.format(y=y) + _outer(program)
        case "flow":
            return FLOW.format(y=y) + _outer(program)
        case "machine":
            noise, classes = ("randn" if settings["gaussian"] else "rand"), FIXED_CLASSES if settings["classes"] else ""
            return MACHINE.format(noise=noise, classes=classes) + _outer(program) + RESHAPED
        case "energy":
            shape = 'n, *settings["shape"]'
            spins, free = f"2.0 * torch.randint(2, ({shape})) - 1", f"torch.randn({shape})"
            start = spins if settings["binary"] else f"2 * torch.rand({shape}) - 1" if settings["bounded"] else free
            return ENERGY.format(start=start, noise="rand" if settings["binary"] else "randn") + _outer(program)
        case "autoregressive":
            walk = AUTOREGRESSIVE if len(settings["orders"]) == 1 else MIXTURE
            return walk.format(y=y) + _outer(program)
        case "classifier":
            return CLASSIFIER
        case _:
            return LOG_PROB.format(rounded=".round()" if settings["support"] == "binary" else "")


def _outer(program: Program) -> str:
    """From inner units u to examples x, in the units of the data."""
    identity, support = program.settings["identity"], program.settings["support"]
    return ("x = u\n" if identity else SCALED) + (CLAMPED if support != "real" else "")
