"""``geodetect status``."""

from __future__ import annotations

from pydantic import Field

from geodetect.settings.base import Settings
from geodetect_cli import console, options
from geodetect_cli.command_line import next_commands
from geodetect_cli.command_line.ending import ending
from geodetect_cli.options import AsJson
from geodetect_cli.settings_command import settings_command

EXAMPLES = """\b
Examples:
  geodetect status run/
  geodetect status run/ --json"""


class StatusOptions(Settings):
    """Input and output of ``status``."""

    run: options.RunArgument = Field(description=options.RUN)
    as_json: AsJson = False


@settings_command
def command(settings: StatusOptions) -> None:
    """Show which shards of a planned run are computed."""
    from geodetect.detection.sharding.status import run_status

    status = run_status(settings.run)
    ending.suggest(next_commands.after_status(settings.run, is_complete=status.is_complete))
    if settings.as_json:
        from geodetect_cli.json_output.shards import StatusOutput

        console.print_json(StatusOutput.from_values(**status.as_dict()))
        return
    console.show_table("", list(status.display_rows()), out=console.SafeConsole())
