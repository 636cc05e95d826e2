"""genlab train model=rbm --help: the keys of one choice of a group, with default, allowed values and meaning."""

import re
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

from genlab.composition.catalogue import names
from genlab.composition.guesses import choices_made, no_such_choice
from genlab.config.packages import configurations
from genlab.errors import GenlabError

KEY = re.compile(r"^\s*([a-z]\w*):\s*(.*?)\s*(?:#\s*(.*))?$")
"""key: default  # meaning"""


def describe(command: str, group: str, name: str, words: Sequence[str]) -> str:
    """The help of GROUP=NAME; defaults are those that `command` composes with the choices among `words`.

    Raises GenlabError for a choice that there is not.
    """
    if name not in names(group):
        raise GenlabError(no_such_choice(group, name))
    text = configurations(group)[name][0].read_text()
    head = f"{group}={name}: {names(group)[name]}"
    if group == "experiment":
        return f"{head}\n\n{textwrap.indent(text.partition(chr(10))[2], '  ')}".rstrip()
    config = _resolved(command, {**choices_made(words), group: name})
    section = config[group]
    targets = _targets(group, section)
    hints = _hints(targets)
    lines = [head, *_about(group, config, targets), ""]
    for key, meaning in _meanings(text, group).items():
        if key in section and key not in ("_target_", "trunk"):
            lines += _entry(f"{group}.{key}", section[key], hints.get(key, ""), meaning)
    return "\n".join(lines)


def _entry(key: str, default: Any, values: str, meaning: str) -> list[str]:
    """One key in lines of 80 columns; what its comment says of allowed values is not said twice."""
    said = values.replace(", or null", "")
    shown = "" if " | " in said and set(said.split(" | ")) <= set(re.findall(r"\w+", meaning)) else values
    first = f"  {key}={_yaml(default)}"
    return [
        f"{first:<34} {shown}".rstrip(),
        *textwrap.wrap(meaning, 80, initial_indent=6 * " ", subsequent_indent=6 * " "),
    ]


def _yaml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(_yaml, value))}]"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _meanings(text: str, group: str) -> dict[str, str]:
    """Key -> what its comment says, of the section in a file of conf/GROUP."""
    lines = text.splitlines()
    if f"{group}:" in lines:  # the file sets other sections too
        lines = lines[lines.index(f"{group}:") + 1 :]
        lines = lines[
            : next((i for i, line in enumerate(lines) if line and not line.startswith((" ", "#"))), len(lines))
        ]
    found: dict[str, str] = {}
    for line in lines:
        if match := KEY.match(line):
            found[match[1]] = match[3] or ""
        elif found and (more := re.match(r"^\s+#\s*(.*)$", line)):
            found[list(found)[-1]] += f" {more[1]}"
    return found


def _about(group: str, config: dict[str, Any], targets: Sequence[Callable[..., Any]]) -> list[str]:
    """Where the equations stand; of a model also how it is trained unless it is told otherwise."""
    place = targets[0].__module__.replace(".", "/")
    lines = [f"  {place}.py"] if group != "device" else []
    if group == "model":
        preferred, train, optimizer = config["preferred"], config["train"], config["optimizer"]
        length = f"{preferred['epochs']} epochs" if preferred.get("epochs") else f"{preferred['examples']:,} examples"
        lines.append(
            f"  trains for {length} in batches of {train['batch_size']} by {optimizer['_target_'].rpartition('.')[2]}, "
            f"optimizer.lr={optimizer['lr']}, on {config['dataset']['_target_'].rpartition('.')[2]} unless told otherwise"
        )
    return lines


def _targets(group: str, section: dict[str, Any]) -> list[Callable[..., Any]]:
    """What takes the keys of a section."""
    from genlab.config.targets import locate
    from genlab.data.splits import prepare
    from genlab.optimizers.recipe import Recipe
    from genlab.training.devices import Device

    others: dict[str, list[Callable[..., Any]]] = {"dataset": [prepare], "optimizer": [Recipe]}
    return [Device] if group == "device" else [locate(section.get("_target_"), group), *others.get(group, [])]


def _hints(targets: Sequence[Callable[..., Any]]) -> dict[str, str]:
    from genlab.config.allowed import allowed
    from genlab.config.schema import keys_of

    return {key: allowed(hint) for target in targets for key, (hint, _) in keys_of(target).items()}


def _resolved(command: str, choices: dict[str, str]) -> dict[str, Any]:
    from hydra import compose, initialize_config_module
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf

    from genlab.composition.explain import explain

    GlobalHydra.instance().clear()
    words = [f"{group}={name}" for group, name in choices.items()]
    try:
        with initialize_config_module("genlab.conf", version_base="1.3"):
            config = OmegaConf.to_container(compose(command, words), resolve=True)
    except HydraException as error:  # another choice is mistaken
        raise GenlabError(explain(error, command, words) or str(error)) from None
    assert isinstance(config, dict)
    return {str(key): value for key, value in config.items()}
