"""genlab list [models|datasets|optimizers|devices|experiments]: the files in conf/ and their first comment."""

from importlib import resources

from genlab.errors import GenlabError, did_you_mean

GROUPS = ("model", "dataset", "optimizer", "device", "experiment")


def groups_of(command: str) -> tuple[str, ...]:
    """The groups from which a command chooses."""
    return GROUPS if command in ("train", "benchmark") else ("device",)


def names(group: str) -> dict[str, str]:
    """Name -> description of every configuration in a group, read from the files' comments alone."""
    folder = resources.files("genlab.conf") / group
    found = {}
    for file in sorted(folder.iterdir(), key=lambda f: f.name):
        if file.name.endswith(".yaml"):
            comments = [line[1:].strip() for line in file.read_text().splitlines()[:4] if line.startswith("#")]
            found[file.name.removesuffix(".yaml")] = next((c for c in comments if not c.startswith("@package")), "")
    return found


def main(arguments: list[str]) -> int:
    allowed = {group + "s": group for group in GROUPS}
    if arguments and arguments[0] in ("-h", "--help"):
        print(f"usage: genlab list [{'|'.join(allowed)}]")
        return 0
    wanted = []
    for word in arguments:
        if word not in allowed and word not in GROUPS:
            raise GenlabError(f"list {word}: there is no such kind; {did_you_mean(word, allowed)}")
        wanted.append(allowed.get(word, word))
    for group in wanted or GROUPS:
        print(f"{group}=")
        for name, description in names(group).items():
            print(f"  {name:<16} {description}")
    return 0
