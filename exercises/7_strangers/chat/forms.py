import unicodedata

from django import forms
from django.contrib.auth.forms import BaseUserCreationForm

from .models import ChatRoom
from .names import BLANK, check_name

EVERYBODY, INVITED = "False", "True"
# Characters that turn around what stands after them, by their bidirectional class.
TURNING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


class SignUpForm(BaseUserCreationForm):
    def clean_username(self):
        name = self.cleaned_data["username"]
        check_name(name)
        return name


class RoomForm(forms.ModelForm):
    is_private = forms.TypedChoiceField(
        label="Who may enter",
        choices=[
            (EVERYBODY, "Everybody who is logged in"),
            (INVITED, "Whoever has your invitation"),
        ],
        coerce=lambda value: value == INVITED,
        initial=EVERYBODY,
        widget=forms.RadioSelect,
    )

    class Meta:
        model = ChatRoom
        fields = ["name", "is_private"]

    def clean_name(self):
        name = self.cleaned_data["name"]
        # The first letter of a category: separators (Z) and controls (C) show nothing,
        # and a mark (M) is a part of the letter before it.
        kinds = {
            unicodedata.category(letter)[0] for letter in name if letter not in BLANK
        }
        if kinds <= {*"ZCM"}:
            raise forms.ValidationError("Of this name nothing can be seen.")
        if any(unicodedata.bidirectional(letter) in TURNING for letter in name):
            raise forms.ValidationError("This name has characters that turn text.")
        return name
