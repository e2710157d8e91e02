from django.contrib import admin

from .models import ChatRoom


@admin.register(ChatRoom)
class ChatRoomAdmin(admin.ModelAdmin):
    def save_model(self, request, obj, form, change):
        # And nothing else: while the form was open, last_seq has moved on.
        obj.save(update_fields=form.changed_data if change else None)
