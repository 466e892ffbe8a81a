# SPDX-License-Identifier: MIT
"""Entry point of ``luo-tui`` and of ``python3 -m luo_tui``."""

from __future__ import annotations

import gc
import os
import sys

# Importing makes many objects and no garbage; looking for it every 700 of them takes a while.
gc.set_threshold(20_000)


def main() -> int:
    """Run the command line; the import is late so that an interrupt is told calmly."""
    try:
        from luo_tui.cli.first import guests_go_on

        not_on = guests_go_on(sys.argv[1:], os.environ)
        from luo_tui.cli.main import run

        return run(sys.argv[1:], not_on)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1


if __name__ == "__main__":
    sys.exit(main())
