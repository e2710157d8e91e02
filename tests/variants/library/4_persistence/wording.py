"""What fits into a database."""


def storable(text):
    """`text`, with U+FFFD for the character 0 and for each half of a character."""
    halves_gone = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return halves_gone.replace("\0", "\N{REPLACEMENT CHARACTER}")
