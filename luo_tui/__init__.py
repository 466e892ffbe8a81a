# SPDX-License-Identifier: MIT
"""Operator console for the Linux Live Update Orchestrator (LUO)."""

__version__ = "0.1.0"
