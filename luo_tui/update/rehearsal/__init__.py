# SPDX-License-Identifier: MIT
"""The rehearsal of an update in a virtual machine, with the kernels that it is to be made with.

``init`` and ``steps`` run in the machine, as its first program; ``lines`` reads what they
and its kernels print, and ``verdict`` says what came of it. ``sizes`` are the memfds that
stand for what is preserved on this host.
"""
