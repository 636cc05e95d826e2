"""A data set by one word alone: the name of its file in conf/dataset, with the defaults of that file, or a path."""

import inspect
import os
from importlib import resources
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from genlab.config.schema import check
from genlab.config.targets import locate
from genlab.data.array_files import FORMATS, is_array_file
from genlab.data.dataset import RawData
from genlab.data.shapes import BY_SHAPE
from genlab.data.spec import DataSpec
from genlab.data.table_files import FORMATS as TABLES
from genlab.data.table_files import is_table_file
from genlab.errors import GenlabError, did_you_mean

FROM_PATHS = ("array", "image_folder", "table")


def read_named(key: str, word: str, like: DataSpec, root: str | None, *others: str) -> RawData:
    """The data set `word`: a name, a file of arrays, a table, or a folder of pictures, read at the size of `like`.

    `root` is the folder of data sets where the environment names none; `others` are words that `key` takes besides. Raises
    GenlabError, which names `key`, for a word that is none of these and for data that are missing.
    """
    path = Path(word).expanduser()
    if word in FROM_PATHS:
        files = {"array": FORMATS.replace("a ", "the "), "table": TABLES.replace("a ", "the ")}
        what = files.get(word, "the folder of pictures")
        raise GenlabError(f"{key}={word} has no examples of its own; name {what} itself, as in {key}=PATH")
    if is_array_file(path):
        from genlab.data.sources.array import array

        if not path.exists():
            raise GenlabError(f"{key}={word}: there is no such file; name {FORMATS}, or a data set")
        keys: dict[str, Any] = {"labels": None, "observables": None, "temperature": None}
        try:
            return array(path=str(path), **keys, kind=like.kind)
        except GenlabError as error:
            if not str(error).startswith("dataset.kind"):
                raise
            return array(
                path=str(path), **keys, kind=BY_SHAPE
            )  # of another shape than the data, which is said elsewhere
    if is_table_file(path):
        from genlab.data.sources.table import table

        if not path.exists():
            raise GenlabError(f"{key}={word}: there is no such file; name {TABLES}, or a data set")
        columns: Any = None if like.component_names is None else list(like.component_names)
        found: dict[str, Any] = {"separator": None, "decimal": None, "header": None, "missing": "drop"}
        return table(path=str(path), columns=columns, label=None, standardise=False, **found)
    if path.is_dir() and word not in _names():
        from genlab.data.sources.image_folder import image_folder

        if not like.is_image or like.shape[1] != like.shape[2] or like.shape[0] not in (1, 3):
            raise GenlabError(
                f"{key}={word}: pictures of a folder are square, {_size(like.shape)} is not; name an array"
            )
        channels: Any = like.shape[0]
        return image_folder(path=str(path), size=like.shape[1], channels=channels, memory_limit_gb=2.0)
    if word not in _names():
        raise GenlabError(f"{key}={word}: there is no such data set; {did_you_mean(word, [*_names(), *others])}")
    return _by_name(word, root)


def _by_name(name: str, root: str | None) -> RawData:
    text = (resources.files("genlab.conf") / "dataset" / f"{name}.yaml").read_text()
    section = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    assert isinstance(section, dict)
    target = locate(section["_target_"], "dataset")
    loader = inspect.signature(
        target
    ).parameters  # the other keys, of the splits and the representation, follow the run
    keys = {str(key): value for key, value in section.items() if key in loader}
    if "root" in keys:
        keys["root"] = os.environ.get("GENLAB_DATA") or root
    (own,) = check(keys, "dataset", target)
    raw = target(**own)
    assert isinstance(raw, RawData), "a target under genlab.data reads one"
    return raw


def _names() -> list[str]:
    folder = resources.files("genlab.conf") / "dataset"
    return [file.name.removesuffix(".yaml") for file in folder.iterdir() if file.name.endswith(".yaml")]


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
