"""Long polling as asyncio would have it: those who wait share one condition."""

import asyncio
import math
import time
from bisect import bisect_right


class Conversation:
    """Everything that was said, and everybody who waits for more."""

    def __init__(self):
        self.stamps = []
        self.texts = []
        self.news = asyncio.Condition()

    async def say(self, text: str) -> dict:
        """Store `text`, wake who waits, and return the reply for the speaker."""
        newest = self.stamps[-1] if self.stamps else 0.0
        self.stamps.append(max(time.time(), math.nextafter(newest, math.inf)))
        self.texts.append(text)
        async with self.news:
            self.news.notify_all()
        return self.reply(-1)

    async def next_after(self, lastupdate: float) -> dict:
        """Wait for the next message after the stamp `lastupdate`; a reply with it."""
        if lastupdate < 0:
            return {"status": 1, "timestamp": 0.0, "data": "connected..."}
        async with self.news:
            await self.news.wait_for(
                lambda: self.stamps and self.stamps[-1] > lastupdate
            )
        return self.reply(bisect_right(self.stamps, lastupdate))

    def reply(self, index: int) -> dict:
        """What a client gets for message `index`."""
        stamp, text = self.stamps[index], self.texts[index]
        return {"status": 1, "timestamp": stamp, "data": text}
