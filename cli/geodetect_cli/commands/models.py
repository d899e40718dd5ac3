"""``geodetect models``."""

from __future__ import annotations

from typing import ClassVar

from geodetect.errors import list_names
from geodetect.settings.base import Settings
from geodetect_cli import console
from geodetect_cli.command_line import next_commands
from geodetect_cli.command_line.ending import ending
from geodetect_cli.options import AsJson
from geodetect_cli.settings_command import settings_command

EXAMPLES = """\b
Examples:
  geodetect models
  geodetect models --json"""


class ModelsOptions(Settings):
    """Options of ``models``."""

    section: ClassVar[str] = "General"

    as_json: AsJson = False


@settings_command
def command(options: ModelsOptions) -> None:
    """List the built-in models."""
    from geodetect.model.file import list_models, load_card

    cards = [load_card(name) for name in list_models()]
    if cards:
        ending.suggest(next_commands.after_models(cards[0].name))
    if options.as_json:
        from geodetect_cli.json_output.models import ModelsOutput

        output = ModelsOutput.from_values(models=[card.model_dump() for card in cards])
        console.print_json(output)
        return
    if not cards:
        console.print_message("no built-in models; train one with `geodetect train`")
        return
    rows = [
        (card.name, f"{card.description} Finds: {list_names(card.classes)}. {card.gsd_m:g} m/px.")
        for card in cards
    ]
    console.show_table("Built-in models", rows, out=console.SafeConsole())
