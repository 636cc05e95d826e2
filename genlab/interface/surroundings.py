"""What a call from Python leaves as it found it: random numbers, threads, precision of products, environment, paths."""

import os
import random
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from genlab.numerics import rng
from genlab.tracking.console import console

_one_at_a_time = threading.RLock()  # torch's stream of random numbers is one for all threads of a process


@contextmanager
def undisturbed(show: bool = True) -> Iterator[None]:
    """Within the block genlab may do what its commands do in a process of their own; with `show=False` it prints nothing.

    A second thread waits until the first has left its block.
    """
    with _one_at_a_time:
        device = torch.device("cuda" if torch.cuda.is_available() and torch.cuda.is_initialized() else "cpu")
        drawn = rng.get_state(device), random.getstate(), np.random.get_state()
        threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
        tf32, quiet = torch.backends.cudnn.allow_tf32, console.quiet
        environment, path, arguments = dict(os.environ), list(sys.path), sys.argv
        try:
            console.quiet = quiet or not show
            yield
        finally:
            rng.set_state(drawn[0], device)
            random.setstate(drawn[1])
            np.random.set_state(drawn[2])
            if torch.get_num_threads() != threads:
                torch.set_num_threads(threads)
            torch.set_float32_matmul_precision(precision)
            torch.backends.cudnn.allow_tf32 = tf32
            console.quiet = quiet
            for name in set(os.environ) - set(environment):
                del os.environ[name]
            os.environ.update(environment)
            sys.path[:], sys.argv = path, arguments
