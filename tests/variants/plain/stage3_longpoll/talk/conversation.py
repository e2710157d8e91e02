"""What all guests share."""

from twisted.internet.defer import Deferred

from .history import History

LONGEST = 4096  # characters


class Conversation:
    """Who is there, what was said, and who waits for what comes next."""

    def __init__(self):
        self.guests = set()
        self.history = History()
        self.waiting = {}  # Deferred -> the stamp after which it wants a line

    def say(self, text):
        """Let all hear `text`. Returns the line."""
        line = self.history.add(text)
        for guest in self.guests:
            guest.hear(text)
        # To answer one can make another leave, or speak.
        for answer, stamp in list(self.waiting.items()):
            news = self.history.after(stamp)
            if news and answer in self.waiting:
                del self.waiting[answer]
                answer.callback(news)
        return line

    def line_after(self, stamp):
        """Return a Deferred of the next line. Cancel it, and it will not come."""
        answer = Deferred(self.waiting.pop)
        line = self.history.after(stamp)
        if line:
            answer.callback(line)
        else:
            self.waiting[answer] = stamp
        return answer
