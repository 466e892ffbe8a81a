# SPDX-License-Identifier: MIT
"""Guests of QEMU as participants of an update.

Nothing is imported here that the program after the kexec does not need.
"""
