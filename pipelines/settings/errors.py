"""Errors a person can act on. `train.py` prints them as one message without a traceback and exits with 2."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """Bad input or configuration; the message names the place, the reason and the remedy."""


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """Return `" Did you mean 'x'?"` for the nearest of `valid`, or the valid names when none is near."""
    names = sorted(set(valid))
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    if near:
        return f" Did you mean '{near[0]}'?"
    return f" Valid: {', '.join(names)}." if names else ""
