"""The card of an exported model, in the form of a Hugging Face model card: what it is, how it was made, how well it does.

Nothing private is in it: no paths of this machine, no names of its files.
"""

import math
import re
import sys
from collections.abc import Mapping
from typing import Any

import yaml

from genlab.config.schema import family_of
from genlab.data.spec import DataSpec
from genlab.export.drawing import example
from genlab.export.program import Program
from genlab.metrics.rounding import plain, rounded

HEAD = """\
---
# license: name one here, such as mit; it is yours to choose
{head}---

# {title}

{about}
"""
PICTURE = "\n![Samples of the model](samples.png)\n\n*Samples of the model, as the end of its training shows them.*\n"
MOST_NAMED = 20  # classes
UNITS = " The program has values x; those of the data are shift + scale x, with `units` of config.json."
PRIVATE = ("start", "trunk", "_target_")
"""Keys of the section `model` that name places."""


def card(
    name: str,
    data: DataSpec,
    model: Mapping[str, Any],
    config: Mapping[str, Any],
    facts: Mapping[str, Any],
    measures: Mapping[str, Any],
    program: Program | None,
    *,
    fixed: int | None,
    picture: bool,
    about: str,
) -> str:
    """The text of CARD.md. `model` are its keys, where auto and null are settled; `facts` are those of the training.

    `measures` are name -> {value, stderr, unit}.
    """
    tags = ["genlab", "generative-model" if name != "classifier" else "classification", name.replace("_", "-")]
    head: dict[str, Any] = {"library_name": "pytorch", "tags": tags, "datasets": [data.name.replace("_", "-")]}
    if data.is_image and name != "classifier":
        head["pipeline_tag"] = "unconditional-image-generation"
    title = f"{name} on {data.name}"
    parts = [HEAD.format(head=yaml.safe_dump(head, sort_keys=False), title=title, about=about)]
    parts += [PICTURE] if picture else []
    parts += [
        _files(program),
        _use(program, data, fixed),
        _model(name, model),
        _data(data, config),
        _protocol(facts),
    ]
    parts.append(_measures(measures))
    return "".join(parts)


def _files(program: Program | None) -> str:
    lines = ["| `model.safetensors` | all parameters and buffers, by their names |"]
    if program is not None:
        lines.append("| `model.pt2` | the program below, for `torch.export.load` |")
        lines += [f"| `{name}.pt2` | a second program, which drawing samples takes |" for name in program.beside]
        if program.codes is not None:
            lines.append(
                f"| `codes.safetensors` | {len(program.codes):,} draws of p(h), which is no standard density here |"
            )
    lines.append("| `config.json` | settings of the model, form of the data, inputs and outputs of the program |")
    return "\n## Files\n\n| file | what is in it |\n|---|---|\n" + "\n".join(lines) + "\n"


def _use(program: Program | None, data: DataSpec, fixed: int | None) -> str:
    if program is None:
        return (
            "\n## Use\n\nNo part of the model stands alone as a program. Its parameters are those of its class:\n\n"
            '```python\nfrom safetensors.torch import load_file\n\ntensors = load_file("model.safetensors")\n'
            "print(len(tensors), sum(tensor.numel() for tensor in tensors.values()))\n```\n"
        )
    number = f"It takes n = {fixed} examples at a time." if fixed else "It takes any number n of examples."
    mean = ""
    if program.kind in ("decoder", "hierarchy", "symbols") and data.support == "real":
        mean = " It gives the mean E[x|h]: the noise of p(x|h), which samples of genlab have, is not added."
    seen = "as the model sees it" if data.units is not None else "in the units of the data"

    def _cell(text: str) -> str:
        """`text` within a row of a table."""
        return text.replace("|", "\\|").replace("in the units of the data", seen)

    rows: list[str] = []
    for name, one in {"model": program, **program.beside}.items():
        rows += [f"| `{name}.pt2` | in | `{key}` | {_cell(meaning)} |" for key, (_, meaning) in one.inputs.items()]
        rows += [f"| `{name}.pt2` | out | `{key}` | {_cell(meaning)} |" for key, meaning in one.outputs.items()]
    return (
        "\n## Use\n\nThe program needs PyTorch (and safetensors for the tensors beside it), and nothing else. "
        f"{number} It has no randomness of its own: noise is an input.{mean}\n\n"
        "| file | | tensor | meaning |\n|---|---|---|---|\n" + "\n".join(rows) + "\n\n"
        f"Run in the folder of these files:\n\n```python\n{example(program, fixed or 16, data.units is not None)}```\n"
    )


def _model(name: str, keys: Mapping[str, Any]) -> str:
    settings = {key: value for key, value in keys.items() if key not in PRIVATE and value is not None}
    shown = ", ".join(f"{key} {_shown(value)}" for key, value in settings.items())
    return f"\n## Model\n\n`model={name}` of genlab, with {shown or 'no settings of its own'}.\n"


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def _data(data: DataSpec, config: Mapping[str, Any]) -> str:
    kind = {"binary": "0 or 1", "unit": "in [0, 1]", "real": "real"}[data.support]
    levels = f", of {data.levels} levels" if data.levels else ""
    classes = f" There are {data.num_classes} classes" if data.num_classes else ""
    if data.class_names is not None:
        named = list(data.class_names[:MOST_NAMED])
        classes += f", in the order of y: {', '.join(named)}{', ...' * (len(named) < len(data.class_names))}"
    classes += "." if classes else ""
    binarize = config["dataset"].get("binarize")
    drawn = f" Grey values were made binary (`{binarize}`)." if binarize not in (None, "none") and data.is_image else ""
    return (
        f"\n## Data\n\n`{data.name}`: examples of shape {'x'.join(map(str, data.shape))}, components {kind}{levels}."
        f"{drawn}{classes}{UNITS if data.units is not None else ''} "
        f"The training split has values from {data.low:.4g} to {data.high:.4g}.\n"
    )


def _protocol(facts: Mapping[str, Any]) -> str:
    rows = "\n".join(f"| {key} | {value} |" for key, value in facts.items() if value is not None)
    return f"\n## Training\n\n| | |\n|---|---|\n{rows}\n"


def _measures(measures: Mapping[str, Any]) -> str:
    rows = []
    for name, entry in measures.items():
        value, error = _number(entry.get("value")), _number(entry.get("stderr"))
        if value is not None:
            rows.append(f"| {name} | {plain(rounded(value, error))} | {entry.get('unit') or ''} |")
    if not rows:
        return "\n## Measures\n\nNone were taken. `genlab evaluate` measures a run, and `genlab export` writes them here.\n"
    errors = "Errors are standard errors."
    return (
        f"\n## Measures\n\nOn the test split. {errors}\n\n| measure | value | unit |\n|---|---|---|\n"
        + "\n".join(rows)
        + "\n"
    )


def _number(value: object) -> float | None:
    return (
        float(value)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        else None
    )


def about_model(model: object) -> str:
    """The first sentence of the module in which the family is written; nothing for one without words."""
    module = sys.modules.get(type(model).__module__)
    text = (getattr(module, "__doc__", None) or "").strip().split("\n\n")[0]
    first = re.split(r"(?<!et al)\. |: ", " ".join(text.split()))[0].rstrip(".:,")
    return f"{first}." if first else f"A model of the family {family_of(type(model).__name__)}."
