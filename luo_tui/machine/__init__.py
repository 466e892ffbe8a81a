# SPDX-License-Identifier: MIT
"""A virtual machine on this host: its QEMU, and the initial RAM disk that it is started with.

For the rehearsal of an update (``luo_tui/update/rehearsal``) and for the lab that the
tests run in (``kernel/lab``). Nothing here knows what happens in the machine.
"""
