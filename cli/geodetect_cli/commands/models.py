"""``geodetect models``."""

from __future__ import annotations

from geodetect_cli import console, options

EXAMPLES = """\b
Examples:
  geodetect models
  geodetect models --json"""


def command(as_json: options.AsJson = False) -> None:
    """List the built-in models."""
    from rich.console import Console

    from geodetect.model.file import list_models, load_card

    cards = [load_card(name) for name in list_models()]
    if as_json:
        console.print_json([card.model_dump(mode="json") for card in cards])
        return
    if not cards:
        console.say("no built-in models; train one with `geodetect train`")
        return
    rows = [
        (card.name, f"{card.description} Finds: {', '.join(card.classes)}. {card.gsd_m:g} m/px.")
        for card in cards
    ]
    console.show_table("Built-in models", rows, out=Console())
