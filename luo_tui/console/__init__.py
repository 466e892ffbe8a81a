# SPDX-License-Identifier: MIT
"""The operator's console. All of Textual lives here, and nothing outside imports it."""
