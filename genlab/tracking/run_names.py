"""What a user calls a run and says of it: a name, tags and a note. run.json keeps them as `name`, `tags` and `note`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genlab.errors import GenlabError

LONGEST_NAME = 40  # characters, of a name and of a tag
LONGEST_NOTE = 500
MOST_TAGS = 20
KEYS = ("name", "tag", "note")
"""Of the configuration and of the command line."""


@dataclass(frozen=True)
class RunNames:
    name: str | None = None
    tags: tuple[str, ...] = ()
    note: str | None = None

    def facts(self) -> dict[str, Any]:
        """As run.json has them."""
        return {"name": self.name, "tags": list(self.tags), "note": self.note}


def of_config(config: Mapping[str, Any]) -> RunNames:
    """Those of the keys `name`, `tag` and `note`, all of which may be missing. Raises GenlabError for what cannot be one."""
    name, tag, note = (config.get(key) for key in KEYS)
    check_name(name)
    tags = [] if tag is None else list(tag) if isinstance(tag, list | tuple) else [tag]
    return RunNames(None if name is None else str(name), _checked(tags), _note(note))


def of_info(info: Mapping[str, Any]) -> RunNames:
    """Those in run.json, which may be that of an older run, or damaged."""
    name, tags, note = info.get("name"), info.get("tags"), info.get("note")
    return RunNames(
        str(name) if name else None,
        tuple(map(str, tags)) if isinstance(tags, list) else (),
        str(note) if note else None,
    )


def changed(before: RunNames, changes: Sequence[str]) -> RunNames:
    """`before` after changes such as 'name=wide', 'tag=a,-b' and 'note=a text'.

    A tag is added, with '-' before it taken away; null takes away the name, all tags, or the note. Raises GenlabError for a
    change of something else, or to what cannot be one.
    """
    name, tags, note = before.name, list(before.tags), before.note
    for change in changes:
        key, _, value = change.partition("=")
        if key == "name":
            name = None if value == "null" else value
            check_name(name)
        elif key == "note":
            note = None if value in ("", "null") else _note(value)
        else:
            assert key == "tag", "the command has seen to that"
            if value == "null":
                tags = []
                continue
            for word in (word.strip() for word in value.split(",")):
                if word.startswith("-"):
                    tags = [tag for tag in tags if tag != word[1:]]
                else:
                    tags += _checked([word])
    return RunNames(name, _checked(tags), note)


def check_name(name: object) -> None:
    """Raises GenlabError where `name` cannot be the name of a run; None is no name."""
    if name is None:
        return
    text = str(name) if isinstance(name, str | int | float) and not isinstance(name, bool) else ""
    if not text.strip() or not text.isprintable() or len(text) > LONGEST_NAME or set("/\\=") & set(text):
        raise GenlabError(
            f"name={name}: should be a few words of {LONGEST_NAME} characters at most, without '/' and '=', as in name=wide"
        )
    if text.startswith(("-", "~")) or set("*?") & set(text):
        raise GenlabError(f"name={name}: should have no '*' or '?', nor '-' or '~' at its beginning, as in name=wide")
    if text in ("latest", "null"):
        raise GenlabError(f"name={name}: run={name} means something else already; choose another name")


def _checked(tags: Sequence[object]) -> tuple[str, ...]:
    """Each tag once. Raises GenlabError where one cannot be a tag."""
    found: dict[str, None] = {}
    for tag in tags:
        text = str(tag).strip() if isinstance(tag, str | int | float) and not isinstance(tag, bool) else ""
        bad = not text or not text.isprintable() or len(text) > LONGEST_NAME or set(",=*?[]") & set(text)
        if bad or text.startswith("-") or text == "null":
            raise GenlabError(
                f"tag={tag}: should be a word or a few of {LONGEST_NAME} characters at most, without , = * ? [ ] and without "
                "'-' at its beginning, as in tag=report"
            )
        found[text] = None
    if len(found) > MOST_TAGS:
        raise GenlabError(f"tag={','.join(found)}: a run has {MOST_TAGS} tags at most; leave some out")
    return tuple(found)


def _note(note: object) -> str | None:
    if note is None:
        return None
    text = str(note).strip() if isinstance(note, str | int | float) and not isinstance(note, bool) else ""
    if not text or not text.isprintable() or len(text) > LONGEST_NOTE:
        raise GenlabError(
            f"note={note}: should be a text of one line, {LONGEST_NOTE} characters at most, as in 'note=with twice the width'"
        )
    return text
