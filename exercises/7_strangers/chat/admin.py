from django.contrib import admin

from .models import ChatRoom


@admin.register(ChatRoom)
class ChatRoomAdmin(admin.ModelAdmin):
    filter_horizontal = ["members"]

    def save_model(self, request, obj, form, change):
        # And nothing else: while the form was open, last_seq has moved on. The members
        # are in a table of their own, and saved after that.
        changed = set(form.changed_data) - {"members"}
        obj.save(update_fields=changed if change else None)
