"""genlab runs: what there is; names, tags and notes; into the trash and back."""

import json
import re
import sys
from collections.abc import Sequence

from genlab.composition.words import exists
from genlab.errors import GenlabError, did_you_mean
from genlab.report.run_filters import KEYS, OTHERS, explain_nothing, ordered, select
from genlab.report.run_list import list_runs
from genlab.report.runs_table import lines, size
from genlab.tracking import trash
from genlab.tracking.console import console, fact, prose
from genlab.tracking.naming import describe
from genlab.tracking.next_steps import to_type
from genlab.tracking.run_names import KEYS as NAMES
from genlab.tracking.which_run import TRASH, find_run

USAGE = """\
usage: genlab runs [FILTER ...] [FOLDER ...] [--sort RESULT] [--limit N] [--json]
       genlab runs set RUN [RUN ...] [name=NAME] [tag=TAG,-TAG] [note=TEXT]
       genlab runs remove RUN|FILTER ...
       genlab runs trash [--json]
       genlab runs restore RUN ...
       genlab runs empty-trash [--yes]

  FILTER           state=finished,failed   model=vae,rbm   dataset=mnist   tag=report   tag=-draft   name='wide*'
                   note=WORD   seed=0   since=2026-11-20|today|2d|12h   before=...   model.latent_dim=2 (any key)
                   of one word any value may hold, '-' before a value excludes it; all words must hold
  FOLDER           a run, a sweep, or a folder that holds runs; default: outputs/train
  --sort RESULT    by any result (fid, elbo, test/loss, ...), or started, time, examples, name, ...: the best first;
                   -RESULT: the largest first, +RESULT: the smallest first
  --limit N        the first N
  --json           an array with all that is known of each, seconds and units named
  RUN              a folder, a name, 'latest', or a part of a folder's name that no other run has; SWEEP/JOB

  set              name=NAME is what RUN can be from now on; tag=a,b adds tags, tag=-a takes one away; null takes away
                   the name, all tags, or the note. Also while the run is trained
  remove           moves runs, or a whole sweep, to outputs/.trash, from where restore brings them back to the same
                   place. Refused for a run that is being trained; --force, where another machine no longer trains it
  empty-trash      deletes for good what is in the trash, and says how much; asks, or takes --yes

  genlab runs state=finished dataset=mnist since=2d --sort fid
  genlab runs set latest name=wide tag=report "note=twice the width"
  genlab runs remove state=failed
  genlab runs restore wide

A run is named at its start, too: genlab train name=wide tag=report "note=twice the width"
"""
VERBS = ("set", "remove", "trash", "restore", "empty-trash")
SYNONYMS = {"rm": "remove", "delete": "remove", "del": "remove", "undo": "restore", "empty": "empty-trash"}
SYNONYMS |= {"name": "set", "rename": "set", "tag": "set", "note": "set", "clear": "empty-trash"}
FLAGS = {"--sort": True, "--limit": True, "--json": False, "--yes": False, "--force": False}
"""Flag -> whether it takes a value."""
FLAGS_OF = {
    "": ("--sort", "--limit", "--json"),
    "remove": ("--force",),
    "trash": ("--json",),
    "empty-trash": ("--yes",),
}


def main(arguments: list[str]) -> int:
    if "-h" in arguments or "--help" in arguments:
        print(USAGE, end="")
        return 0
    verb = arguments[0] if arguments and arguments[0] in VERBS else ""
    words, flags = parse(arguments[1:] if verb else arguments, verb)
    if verb in ("", "remove"):
        filters, runs = split(words)
        if verb:
            remove(runs, filters, force="--force" in flags)
        else:
            show(runs, filters, flags)
    elif verb == "set":
        change(words)
    elif verb == "restore":
        restore(words)
    elif words:
        raise GenlabError(f"{words[0]}: runs {verb} takes no words; see {to_type('runs', '--help')}")
    elif verb == "trash":
        show_trash("--json" in flags)
    else:
        empty_trash("--yes" in flags)
    return 0


def parse(arguments: Sequence[str], verb: str) -> tuple[list[str], dict[str, str]]:
    """Words and flags. Raises GenlabError for a flag that `verb` does not take, or that has no value."""
    words: list[str] = []
    flags: dict[str, str] = {}
    rest, allowed = list(arguments), FLAGS_OF.get(verb, ())
    while rest:
        word = rest.pop(0)
        if word == "--":
            words += rest
            break
        name, equals, value = word.partition("=")
        if not word.startswith("-") or exists(word):
            words.append(word)
            continue
        if name not in allowed:
            hint = did_you_mean(name, allowed) if allowed else "it takes no flags"
            raise GenlabError(f"{name} is not a flag of runs{f' {verb}' if verb else ''}; {hint}")
        if FLAGS[name] and not equals:
            value = rest.pop(0) if rest and not rest[0].startswith("--") else ""
        if FLAGS[name] and not value:
            raise GenlabError(f"{name} needs a value; write for example {name} {'fid' if name == '--sort' else 10}")
        if not FLAGS[name] and equals:
            raise GenlabError(f"{word}: {name} takes no value; write {name} alone")
        flags[name] = value
    return words, flags


def split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Filters, and runs or folders. Raises GenlabError for a filter that there is not."""
    filters, places = [], []
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or exists(word) or "/" in key:
            places.append(word)
        elif key in ("run", "runs"):
            places.append(value)
        elif key not in KEYS and "." not in key:
            hint = f"did you mean '{OTHERS[key]}={value}'?" if key in OTHERS else did_you_mean(key, KEYS)
            if key in ("sort", "limit", "json"):
                hint = f"did you mean '--{key} {value}'?"
            raise GenlabError(f"{word}: {key} is no filter of runs; {hint}")
        else:
            filters.append(word)
    return filters, places


def show(places: Sequence[str], filters: Sequence[str], flags: dict[str, str]) -> None:
    """Print the table, or JSON, of the runs that are meant."""
    limit = flags.get("--limit")
    if limit is not None and not (limit.isdigit() and int(limit) > 0):
        raise GenlabError(f"--limit {limit}: should be a whole number above 0")
    for place in places:
        if not exists(place) and (close := SYNONYMS.get(place)):
            raise GenlabError(f"{place} is neither a run nor a command of runs; did you mean {to_type('runs', close)}?")
    every = list_runs(places)
    runs = select(every, filters)
    if "--sort" in flags:
        runs = ordered(runs, flags["--sort"])
    runs = runs[: int(limit)] if limit else runs
    if "--json" in flags:
        print(json.dumps([run.as_dict() for run in runs], indent=1))
        return
    if not runs:
        meant = places and any(word.partition("=")[0] in NAMES for word in filters)
        hint = f"; to set it: {to_type('runs', 'set', *places, *filters)}" if meant else ""
        prose(f"{explain_nothing(every, filters)}{hint}" if every else _nothing())
        return
    text = "\n".join(lines(runs, every, console.width, flags.get("--sort")))
    console.print(text, markup=False, soft_wrap=True)


def _nothing() -> str:
    removed = len(trash.in_trash())
    also = f"; {removed} in the trash: {to_type('runs', 'trash')}" if removed else ""
    return f"there is no run under outputs/train; start one with: {to_type('train')}{also}"


def change(words: Sequence[str]) -> None:
    """Give runs names, tags and notes."""
    changes, runs = [], []
    for word in words:
        key, equals, value = word.partition("=")
        key = {"tags": "tag", "notes": "note"}.get(key, key)
        if not equals or exists(word) or not re.fullmatch(r"\w+", key):
            runs.append(word)
        elif key == "run":
            runs.append(value)
        elif key in NAMES:
            changes.append(f"{key}={value}")
        else:
            raise GenlabError(f"{word}: set takes RUN and name=, tag= and note=; {did_you_mean(key, NAMES)}")
    if not runs:
        raise GenlabError(
            f"set: no run is named; write for example: {to_type('runs', 'set', 'latest', *changes or ['tag=report'])}"
        )
    if not changes:
        raise GenlabError(f"set: nothing to set; write for example: {to_type('runs', 'set', *runs, 'tag=report')}")
    found = {(run := find_run(word, wanted="any")).path.resolve(): run for word in runs}
    named = [word for word in changes if word.startswith("name=") and word != "name=null"]
    if named and len(found) > 1:
        raise GenlabError(f"{named[0]}: {len(found)} runs cannot have one name; name one run")
    for run in found.values():
        names = describe(run, changes)
        said = [f"name {names.name}" if names.name else "", f"tags {', '.join(names.tags)}" if names.tags else ""]
        said.append(f"note {names.note}" if names.note else "")
        console.print(f"{run.path}: {'; '.join(filter(None, said)) or 'no name, tags or note'}", markup=False)


def remove(words: Sequence[str], filters: Sequence[str], force: bool) -> None:
    """Move runs and sweeps to the trash, all of them or, where one of them is being trained, none."""
    folders = [trash.find_to_remove(word) for word in words]
    if filters:
        runs = list_runs(folders)
        chosen = select(runs, filters)
        if not chosen:
            raise GenlabError(explain_nothing(runs, filters) if runs else _nothing())
        folders = [run.path for run in chosen]
    if not folders:
        raise GenlabError(f"remove: no run is named; write for example: {to_type('runs', 'remove', 'latest')}")
    once = {folder.resolve(): folder for folder in folders}
    outer = [folder for whole, folder in once.items() if not set(whole.parents) & set(once)]
    for folder in outer:
        trash.removable(folder, force)
    removed = [trash.remove(folder, force=force) for folder in outer]
    for one in removed:
        console.print(f"removed {one.origin} ({size(one.size)})", markup=False)
    fact("back by", to_type("runs", "restore", *(one.word for one in removed)))
    fact("disk", f"is freed by: {to_type('runs', 'empty-trash')}")


def restore(words: Sequence[str]) -> None:
    """Bring runs back from the trash to where they were."""
    if not words:
        known = [one.word for one in trash.in_trash()]
        hint = f"in the trash are: {', '.join(known)}" if known else "the trash is empty"
        raise GenlabError(f"restore: no run is named; {hint}")
    for one in {removed.entry: removed for removed in map(trash.find_removed, words)}.values():
        console.print(f"restored {trash.restore(one)}", markup=False)


def show_trash(as_json: bool) -> None:
    entries = trash.in_trash()
    if as_json:
        print(json.dumps([one.as_dict() for one in entries], indent=1))
        return
    if not entries:
        print("the trash is empty")
        return
    for one in entries:
        name = f" {one.names[0]}" if one.names else ""
        many = f", {len(one.runs)} runs" if len(one.runs) > 1 else ""
        when = f"{one.removed:%Y-%m-%d %H:%M}" if one.removed else "?"
        console.print(f"{one.word}{name}: {one.origin}{many}, {size(one.size)}, removed {when}", markup=False)
    fact("back by", to_type("runs", "restore", entries[0].word))
    fact("for good", to_type("runs", "empty-trash"))


def empty_trash(yes: bool) -> None:
    """Delete what is in the trash, once the user has agreed."""
    entries = trash.in_trash()
    if not entries:
        trash.empty()
        print("the trash is empty")
        return
    total = size(sum(one.size for one in entries))
    runs = sum(len(one.runs) for one in entries)
    what = f"{runs} run{'s' if runs != 1 else ''} in {trash.OUTPUTS / TRASH}, {total}"
    if not yes:
        if not sys.stdin.isatty():
            raise GenlabError(
                f"empty-trash deletes {what}, for good; to agree: {to_type('runs', 'empty-trash', '--yes')}"
            )
        for one in entries:
            console.print(f"  {one.origin}", markup=False)
        if input(f"delete {what}, for good? [y/N] ").strip().lower() not in ("y", "yes"):
            print("nothing is deleted")
            return
    trash.empty()
    print(f"deleted {what}")
