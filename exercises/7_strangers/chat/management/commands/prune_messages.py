import time
from datetime import timedelta

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from chat.models import ChatRoom

AT_ONCE = 500  # rows
PAUSE = 0.1  # seconds: SQLite has no queue, and who waits has to find a gap


class Command(BaseCommand):
    help = "Delete old messages in each room. What either option keeps, is kept."

    def add_arguments(self, parser):
        parser.add_argument("--keep-days", type=int, help="keep what is younger")
        parser.add_argument("--keep-last", type=int, help="keep so many in each room")
        parser.add_argument("--dry-run", action="store_true", help="only count them")

    def handle(self, *, keep_days, keep_last, dry_run, **options):
        given = [number for number in (keep_days, keep_last) if number is not None]
        if not given or min(given) < 0:
            raise CommandError("Say --keep-days or --keep-last, and how many.")
        count = 0
        for room in ChatRoom.objects.all():
            first = first_kept(room, keep_days, keep_last)
            # Numbers never are given out again: last_seq stays as it is.
            old = room.messages.filter(seq__lt=first)
            count += old.count() if dry_run else delete(old)
        said = "Messages to delete" if dry_run else "Messages deleted"
        self.stdout.write(f"{said}: {count}")


def first_kept(room, keep_days, keep_last):
    """Return the number from which on all messages of a room are kept."""
    # Never a hole: of two messages, the older one goes first, whatever the clock said.
    first = room.last_seq + 1
    if keep_last is not None:
        first = min(first, room.last_seq + 1 - keep_last)
    if keep_days is not None:
        try:
            since = timezone.now() - timedelta(days=keep_days)
        except OverflowError as error:
            raise CommandError("So many days there never were.") from error
        young = room.messages.filter(said_at__gte=since).order_by("seq").first()
        first = min(first, young.seq) if young else first
    return first


def delete(old):
    """Delete rows, a few at a time. Returns how many there were."""
    count = 0
    while ids := old.order_by("seq").values_list("pk", flat=True)[:AT_ONCE]:
        deleted, _ = old.filter(pk__in=list(ids)).delete()
        count += deleted
        time.sleep(PAUSE)
    return count
