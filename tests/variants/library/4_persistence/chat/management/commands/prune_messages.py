import datetime

from django.core.management import BaseCommand, CommandError
from django.utils import timezone

from chat.models import ChatRoom


class Command(BaseCommand):
    def add_arguments(self, parser):
        parser.add_argument("--keep-days", type=float)
        parser.add_argument("--keep-last", type=int)
        parser.add_argument("--dry-run", action="store_true")

    def handle(self, *, keep_days, keep_last, dry_run, **options):
        if keep_days is None and keep_last is None:
            raise CommandError("What is to be kept?")
        count = 0
        for room in ChatRoom.objects.all():
            first = self.first_kept(room, keep_days, keep_last)
            old = room.message_set.filter(seq__lt=first)
            count += old.count() if dry_run else old.delete()[0]
        print(f"Old messages: {count}", file=self.stdout)

    def first_kept(self, room, days, last):
        """The number from which on all is kept, so that no hole comes about."""
        first = room.newest + 1 - max(last or 0, 0)
        if days is not None:
            since = timezone.now() - datetime.timedelta(days=days)
            young = room.message_set.filter(said__gte=since).order_by("seq").first()
            first = min(first, young.seq) if young else first
        return first
