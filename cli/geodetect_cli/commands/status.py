"""``geodetect status``."""

from __future__ import annotations

from pydantic import Field

from geodetect.settings.base import Settings
from geodetect_cli import console, options
from geodetect_cli.command_line import next_commands
from geodetect_cli.command_line.ending import ending
from geodetect_cli.options import ConsoleOptions, ResultOptions
from geodetect_cli.settings_command import settings_command

EXAMPLES = """\b
Examples:
  geodetect status run/
  geodetect status run/ -o map.png
  geodetect status run/ --json"""


class StatusFiles(Settings):
    """Input and output of ``status``."""

    run: options.RunArgument = Field(description=options.RUN)
    output: options.OutputFile | None = Field(
        None,
        description="Image to write: the ground, with each shard in the colour of its status: "
        ".png .jpg .webp.",
    )


@settings_command
def command(files: StatusFiles, result: ResultOptions, messages: ConsoleOptions) -> None:
    """Show which shards of a planned run are computed.

    Also which are running, failed, interrupted or have holes, as a list and on a map.
    """
    from geodetect.detection.sharding.status import run_status

    status = run_status(files.run)
    if files.output is not None:
        from geodetect.reporting.run_map import draw_run_map

        draw_run_map(files.run, files.output, overwrite=result.overwrite, status=status)
    ending.suggest(next_commands.after_status(files.run, is_complete=status.is_complete))
    if result.as_json:
        from geodetect_cli.json_output.shards import StatusOutput

        values = status.as_dict() | {"output": files.output}
        console.print_json(StatusOutput.from_values(**values))
        return
    if not messages.quiet:
        rows = list(status.display_rows())
        if files.output is not None:
            rows.append(("Map", str(files.output)))
        console.show_table("", rows, out=console.SafeConsole())
