"""What can go wrong with a replica, named after what the reader should do. Messages are one line each.

CannotStart: it never served; starting it again with the same spec would end the same way.
"""

from __future__ import annotations


class CannotStart(Exception):  # noqa: N818 -- it reads as what it is, and is told apart from "died" by that name
    """A replica cannot start as told: one line that says why and what to do."""
