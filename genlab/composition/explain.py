"""Words for an error that a user can correct; errors.complain brings them into one line."""

import errno
import re
import shlex
import sys
from collections.abc import Sequence

from genlab.composition.own_faults import own_fault
from genlab.composition.words import pasteable
from genlab.errors import GenlabError, did_you_mean

WRITING = {
    getattr(errno, name)
    for name in [
        "EIO",
        "ENOSPC",
        "EDQUOT",
        "EFBIG",
        "EROFS",
        "EACCES",
        "EPERM",
        "ENOTDIR",
        "EEXIST",
        "ENOENT",
        "EISDIR",
        "ELOOP",
        "ENAMETOOLONG",
    ]
    if hasattr(errno, name)
}

LIBRARIES = ("hydra.", "omegaconf.", "antlr4.")


def explain(error: BaseException, command: str, overrides: Sequence[str] | None = None) -> str | None:
    """What went wrong and how to correct it; None for an error that is genlab's own fault.

    `overrides` are those of the command line by default.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, GenlabError):
            return str(cause)
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, MemoryError) or re.search(
        r"out of memory|not enough memory|can't allocate memory", str(error)
    ):
        return "the memory of this device does not suffice; set a smaller train.batch_size, a smaller model, or n"
    if (fault := own_fault(error)) is not None:
        return fault
    if type(error).__module__.startswith(LIBRARIES) or _raised_in(error).startswith(LIBRARIES):
        return _explain_hydra(error, command, sys.argv[1:] if overrides is None else overrides)
    return explain_os_error(error) if isinstance(error, OSError) else None


def _raised_in(error: BaseException) -> str:
    """Module of genlab, or of what reads its configuration, that raised `error` itself or by a call of another one."""
    trace, found = error.__traceback__, ""
    while trace is not None:
        module, trace = str(trace.tb_frame.f_globals.get("__name__", "")), trace.tb_next
        found = module if module.startswith(("genlab.", *LIBRARIES)) else found
    return found


def explain_os_error(error: OSError) -> str | None:
    if error.errno == errno.ENAMETOOLONG:
        return f"{error.filename}: no file can have so long a name; name another"
    if error.errno in WRITING:
        place = f" {error.filename}" if error.filename else ""
        return f"cannot write{place} ({error.strerror}); make room or permit it, or set hydra.run.dir=FOLDER"
    return None


def _explain_hydra(error: BaseException, command: str, overrides: Sequence[str]) -> str:
    from hydra.errors import OverrideParseException

    from genlab.composition.catalogue import GROUPS
    from genlab.composition.guesses import no_such_choice, no_such_key

    text = str(error)
    if match := re.search(r"Ambiguous value for argument '([^=']+)=([^']*)'", text):
        sweep, one = f"{match[1]}={match[2]}", f"{match[1]}=[{match[2]}]"
        if re.fullmatch(r"-?0,\d+", match[2]):
            return f"{sweep}: a number is written with a point: {match[1]}={match[2].replace(',', '.')}"
        listed = "" if match[1] in GROUPS else f"; a list is written {shlex.quote(one)}"
        return f"{sweep}: several values are a sweep; write: genlab {command} -m {shlex.quote(sweep)}{listed}"
    if match := re.search(r"Sweep parameters '(.*)' requires --multirun", text):
        return f"{match[1]}: is a sweep; write: genlab {command} -m {shlex.quote(match[1])}"
    if isinstance(error, OverrideParseException):
        return _unreadable(str(error.override))
    if match := re.search(r"Could not (?:find|load) '(hydra/\w+|\w+)/([^']*)'", text):
        group, name = match.groups()
        if group in GROUPS:
            return no_such_choice(group, name)
        found = re.findall(r"^\t(\S+)$", text.partition("Available options")[2], re.MULTILINE)
        return f"{group}={name}: there is no such choice; {did_you_mean(name, found)}"
    if match := re.search(r"Error merging override (.*)", text):
        reason = _words_of_omegaconf(error.__cause__) if error.__cause__ else "it does not fit what stands there"
        return f"{match[1]}: this value cannot be taken ({reason}); see genlab {command} --cfg all"
    if match := re.search(r"Could not delete (?:from config\\. )?'([^']*)'", text):
        return f"~{match[1]}: there is nothing of this name to leave out"
    if match := re.search(r"Could not append to config. An item is already at '([^']*)'", text):
        return f"+{match[1]}: this key is there already; write {match[1]}=VALUE without the +"
    if match := re.search(r"Could not override '(hydra\.[^']*)'", text):
        return f"{match[1]} is not a key of Hydra's own configuration; see genlab {command} --cfg hydra"
    if match := re.search(r"Could not override '([^']*)'", text):
        full = match[1]
        if match := re.search(r"Key '([^']*)' is not in struct\s+full_key: (\S+)", str(error.__cause__ or error)):
            full = match[2]
        return no_such_key(full, command, overrides)
    if match := re.search(r"Key '([^']*)' is not in struct\s+full_key: (\S+)", text):
        return no_such_key(match[2], command, overrides)
    if match := re.search(r"Environment variable '(\w+)' not found", text):
        return f"environment variable {match[1]} is not set; set it, or name the value on the command line"
    if isinstance(error.__cause__, OSError):
        return str(error.__cause__)
    if isinstance(error, AssertionError) or not text.strip():
        return f"a value does not fit Hydra's own configuration; see genlab {command} --cfg hydra"
    words = _words_of_omegaconf(error)
    own = type(error).__module__.startswith(LIBRARIES)
    return words if own else f"{words}; see genlab {command} --cfg hydra"


def _words_of_omegaconf(error: BaseException) -> str:
    """Its first line with the key in front; the rest names types of its own."""
    line, _, rest = str(error).strip().partition("\n")
    line = re.sub(r"^\w+ raised while resolving interpolation: ", "", line)
    key = re.search(r"full_key: (\S+)", rest)
    return f"{key[1]}: {line}" if key else line


KEY = re.compile(r"(\+\+?|~)?[\w$/-]+(@[\w.:$/-]*)?(\.[\w$-]+)*")
OUTSIDE = re.compile(r"""[^\w\s/\\+.$%*@?|:=,()\[\]{}'"-]|[^\x00-\x7f]""")
"""Characters that Hydra's grammar reads in quotes only."""


def _unreadable(word: str) -> str:
    """The message for an override outside of Hydra's grammar: the word as it can be typed, and what is wrong with it."""
    key, equals, value = word.partition("=")
    if not KEY.fullmatch(key):
        return f"{shlex.quote(word)}: {shlex.quote(key)} is no key; write key=value, as in seed=1"
    if not equals:
        return f"{shlex.quote(word)}: is not of the form key=value; write for example seed=1"
    special = OUTSIDE.search(value)
    reason = (
        f"has a {special[0]} outside of quotes"
        if special
        else "has a bracket or a quote without its other one, or an '=' too many"
    )
    return f"{shlex.quote(word)}: {reason}; a text is written {pasteable(word)}"
