"""What all guests share."""

LONGEST = 4096  # characters


class Conversation:
    """Who is there. What one says, all hear."""

    def __init__(self):
        self.guests = set()

    def say(self, text):
        for guest in self.guests:
            guest.hear(text)
