"""SVHN: 99,289 house numbers from street photographs, 32x32 in colour, the middle digit as class (Netzer et al. 2011).

The files are `train_32x32.mat` and `test_32x32.mat`, under `root` or under a folder `svhn` there. torchvision checks
them against their MD5s and decodes them.
"""

from typing import Any

import torch

from genlab.data.dataset import RawData
from genlab.data.download import DownloadError, complete, data_root, fetch, namesakes, not_found
from genlab.data.examples import Examples
from genlab.errors import GenlabError


def svhn(*, root: str | None) -> RawData:
    """Digits as they hang on houses: 73,257 for training, 26,032 for the test; (3, 32, 32)."""
    from torchvision.datasets import SVHN

    top = data_root(root)
    wanted = {split: SVHN.split_list[split] for split in ("train", "test")}
    files = [file for _, file, _ in wanted.values()]
    found = complete([top, *namesakes(top, "svhn")], files)
    place = found[0] if found else top / "svhn"
    try:
        for url, file, md5 in [] if found else wanted.values():
            fetch([url], place / file, md5)
        train, test = (SVHN(place, split=split, download=False) for split in wanted)
    except DownloadError as error:
        raise not_found("svhn", place, files, error) from error
    except (RuntimeError, OSError) as error:
        raise GenlabError(
            f"dataset=svhn: a file in {place} is damaged or unreadable ({error}); "
            "delete it so that it is fetched again, or copy it anew"
        ) from error
    return RawData("svhn", _examples(train), _examples(test), levels=256, num_classes=10)


def _examples(published: Any) -> Examples:
    return Examples(torch.from_numpy(published.data).contiguous(), torch.from_numpy(published.labels).long())
