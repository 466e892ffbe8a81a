# SPDX-License-Identifier: MIT
"""Files given to a call as open descriptors, for as long as the call takes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def load_files(
    load: Callable[..., None], image: Path | str, initrd: Path | str = "", *more: object
) -> None:
    """Call ``load`` with descriptors of an image and its initrd, -1 where that has no name."""
    image_fd = os.open(image, os.O_RDONLY | os.O_CLOEXEC)
    initrd_fd = -1
    try:
        if initrd:
            initrd_fd = os.open(initrd, os.O_RDONLY | os.O_CLOEXEC)
        load(image_fd, initrd_fd, *more)
    finally:
        os.close(image_fd)
        if initrd_fd >= 0:
            os.close(initrd_fd)
