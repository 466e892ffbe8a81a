# SPDX-License-Identifier: MIT
"""What makes packages of the program. It runs when they are built, and is in none of them."""
