# SPDX-License-Identifier: MIT
"""The command line: ``main`` parses, and each family of commands has a file of its own."""
