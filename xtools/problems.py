"""A user's mistake or a missing thing, told in one line: what, where, what to do."""

import difflib


class Problem(Exception):
    """Raised wherever a user can mend the cause; commands print its one line and exit with status 2."""


def nearest(word: str, known) -> str:
    """`; did you mean X?` for the closest known word, or a list of what there is."""
    known = [str(k) for k in known]
    close = difflib.get_close_matches(str(word), known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; known: {', '.join(known)}"
