"""Waiting for what must happen, without knowing when."""

import time

# How long anything may take that happens at once on a quiet machine. It is long on purpose: a test that waits for an
# event must not fail because the machine is slow or a sanitizer is in the way.
LIMIT = 60.0


class NotInTime(AssertionError):
    """What was waited for did not happen."""


def eventually(check, what, limit=LIMIT):
    """Returns the first true result of `check()`; fails with `what` (text, or a function that gives it) after `limit`
    seconds."""
    end = time.monotonic() + limit
    pause = 0.002
    while True:
        result = check()
        if result:
            return result
        if time.monotonic() > end:
            raise NotInTime(f"not within {limit:g} s: {what() if callable(what) else what}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
