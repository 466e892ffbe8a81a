# SPDX-License-Identifier: MIT
"""What must live until the kexec, and begins first after it: one small program.

On a kernel with sessions a session lasts as long as a descriptor of it: ``holder``
is the process that owns those of luo-tui, ``store`` what it has, ``protocol`` how
others speak with it, ``manifest`` what a session says of itself in the next
kernel. Nothing here imports a screen, or the command line: what is to survive
all others is to be small.
"""
