from datetime import timedelta

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Min
from django.utils.timezone import now

from chat.models import Log, Said


class Command(BaseCommand):
    help = "Deletes what was said long ago, in each room."

    def add_arguments(self, parser):
        parser.add_argument("--keep-days", type=int)
        parser.add_argument("--keep-last", type=int)
        parser.add_argument("--dry-run", action="store_true")

    def handle(self, *args, keep_days, keep_last, dry_run, **options):
        if keep_days is None and keep_last is None:
            raise CommandError("Say --keep-days or --keep-last.")
        total = 0
        for log in Log.objects.all():
            # Of two messages the older one goes first, or there would be a gap.
            kept = [log.last + 1]
            if keep_last:
                kept.append(log.last + 1 - keep_last)
            if keep_days is not None:
                young = Said.objects.filter(
                    log=log, at__gte=now() - timedelta(keep_days)
                )
                kept.append(young.aggregate(first=Min("seq"))["first"] or log.last + 1)
            old = Said.objects.filter(log=log, seq__lt=min(kept))
            total += old.count() if dry_run else old.delete()[0]
        verb = "would go" if dry_run else "are gone"
        self.stdout.write(f"{total} messages {verb}.")
