"""What a test raises that is not about a folder as it is made, or on this machine."""

import pytest


class NotJudged(pytest.skip.Exception):
    """A test cannot judge a folder.

    It is made otherwise than the chapter, or this machine has not what that takes.
    """
