"""Which names somebody may take.

In a chat, a name is all that one sees of a person. So no two may look alike.
"""

import unicodedata

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError

# What looks like what, small letters and capitals alike: the letters of two other
# alphabets, and digits. It is what one takes for another at a glance, and not complete:
# Unicode's own list, confusables.txt, has thousands.
LOOKS = str.maketrans(
    "авекмнорстухіјѕԁԛԝһӏαβεζηικμνορτυχ01iı",
    "abekmhopctyxljsdqwhlabezhlkmvoptyxolll",
)
# These alphabets share shapes, so no word has letters of two of them.
ALIKE = {"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "COPTIC", "CHEROKEE"}
# Letters and signs, by their kind, of which nothing is to be seen.
BLANK = "\u115f\u1160\u2800\u3164\uffa0"


def looks(name):
    """Return the same for all names that look alike."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return folded.translate(LOOKS)


def alphabets(name):
    return {unicodedata.name(letter, "").partition(" ")[0] for letter in name}


def check_name(name):
    """Raise ValidationError, which says why, where nobody may take this name.

    Django has looked at it before: it has no blanks, no markup, and nothing invisible
    but BLANK.
    """
    if set(name) & set(BLANK):
        raise ValidationError("This name has letters that cannot be seen.")
    if len(alphabets(name) & ALIKE) > 1:
        raise ValidationError(
            "This name mixes letters of different alphabets, so it may pass for "
            "another one. Take letters of one alphabet."
        )
    # For thousands of users, keep what looks() returns in a column of its own.
    taken = get_user_model().objects.values_list("username", flat=True)
    # The page calls its reader "you".
    if looks(name) in {looks("you"), *map(looks, taken.iterator())}:
        raise ValidationError("This name is taken, or looks like one that is.")
