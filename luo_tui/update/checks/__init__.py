# SPDX-License-Identifier: MIT
"""What is looked at before an act. Pure: facts in, findings out."""
