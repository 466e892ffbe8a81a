# SPDX-License-Identifier: MIT
"""The demo: a simulated host that lives, its folder, and another operator on it."""
