"""What a database takes."""

import re

from lounge.talk import LONGEST_ID

NOT_TAKEN = re.compile("[\0\ud800-\udfff]")  # half a character, and the one with 0


def mend(text):
    return NOT_TAKEN.sub("\ufffd", text)


def is_id(name):
    return 0 < len(name) <= LONGEST_ID and not NOT_TAKEN.search(name)
