"""Write ``options.md``, the vocabulary of the command line, from the settings of all commands.

python docs/options_page.py
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from geodetect_cli.app import load_command
from geodetect_cli.command_line.exit_codes import ExitCode
from geodetect_cli.command_line.option import Option
from geodetect_cli.commands import COMMANDS

PAGE = Path(__file__).with_name("options.md")
INTRODUCTION = """# Options

Written by `python docs/options_page.py` from the settings of the commands. A name means the same
in every command. `geodetect predict --help` lists the options of a command, with examples.

## How options are written

- **Order.** The command comes first: `geodetect predict scene.tif --conf 0.7`. Options and
  arguments may be mixed; `--` ends the options. `--conf=0.7` is the same as `--conf 0.7`.
- **Arguments.** What stands without an option (`RASTER`, `PRED`, `TRUTH` ...) may be named, too:
  `geodetect report pools.gpkg --raster scene.tif`.
- **Several values.** Options marked as repeatable are stated several times: `--rasters a.tif
  --rasters b.tif`. Lists have commas and no blanks: `--classes pool,car`. Of another
  option that is stated twice the last value counts.
- **Patterns.** `sheets/*.tif` is expanded by the shell, or else by the program; one that matches
  no file is an error.
- **Switches.** `--style` has no value. One that is on from the start is switched off by `--no-`:
  `--no-check`.
- **Spellings.** Underscores, capitals, singular and plural are understood (`--tile_size`,
  `--raster` for `--rasters`), and so are the names of earlier versions, listed below. A name that
  no option has is answered with the one that was meant, also if it is that of another program
  (`--imgsz`).
- **Settings files.** `--config run.toml` reads options from TOML, under the same names
  (`tile_size = 512`); those on the command line win.
- **Completion.** `geodetect --install-completion` lets bash, zsh, fish and PowerShell complete
  commands, options and the values of every choice.
- **Python.** Settings have the same names as keywords: `geodetect.predict("scene.tif",
  tile_size=512)`.

## Messages and logs

Messages, warnings and errors go to the error stream, results (tables, `--json`, `-o -`) to the
output stream. An error is one line that begins with `Error:` and names the option to change.
`--quiet` leaves warnings and errors. `--log-file run.log` appends all messages to a file, each
with its time, also those that `--quiet` hides, progress in place of bars, the command line and
the exit code. Secrets of addresses are left out. A file that is no log is not appended to.
"""
VALUES = {
    "FILE": "a file; `FILE|layername=NAME` names a layer, as in QGIS",
    "IMAGE": "a picture or raster that GDAL opens",
    "FOLDER": "a folder, which is created",
    "PATH": "a file, a folder, or a URL",
    "RASTER": "a file, folder or URL that GDAL opens",
    "RUN": "the folder of a planned run",
    "PRED": "a vector file of predictions",
    "TRUTH": "a vector file, or labels, of ground truth",
    "BEFORE": "a vector file of earlier predictions",
    "WEIGHTS": "a file of weights of another program",
    "MODEL": "the name of a built-in model, or a model file",
    "NAME|FILE": "the name of a built-in model, or a model file",
    "NAME": "a name: of a column of a layer, or one of those listed",
    "NAME,NAME": "names with commas between",
    "TEXT": "any text; quotes hold blanks together",
    "CRS": "`EPSG:2154`, or anything else that PROJ understands",
    "METRES": "metres, or with a unit: `2.5`, `2.5m`, `250cm`, `300mm`",
    "M,M,...": "lengths as above with commas between",
    "PX": "pixels: `512` or `512px`",
    "AREA": "square metres, or with a unit: `10`, `10m2`, `0.5ha`",
    "PIXELS": "pixels of an area: `2Gpx`, `500Mpx`, `4e6`",
    "HOST:PORT": "the address of a server: `10.0.0.1:6379`",
    "I/N": "part I of N: `17/400`; or a shard: `17`",
    "PX|FRACTION": "pixels (`64`, `64px`), a fraction below 1 (`0.2`) or a percentage (`20%`)",
    "PX,PX,...": "pixels with commas between",
    "SCORE": "a number from 0 to 1, or a percentage: `0.7`, `70%`",
    "IOU": "a number above 0, up to 1, or a percentage",
    "FRACTION": "a number from 0 to 1, or a percentage",
    "AP": "a number from 0 to 1, or a percentage",
    "N": "a number",
    "NUMBER": "a number",
    "SECONDS": "seconds",
    "MINUTES": "minutes",
    "RATE": "a number, or `auto`",
    "RULE": "one of those listed",
    "N,N,N": "band numbers, counted from 1: `1,2,3`",
    "LOW,HIGH": "two numbers: `0,3000`",
    "R,G,B": "a number for each channel, with commas between",
    "X,Y,X,Y": "min x, min y, max x, max y",
}
MEANINGS = {  # of names whose description differs between commands
    "--aoi": "Polygons that limit the ground.",
    "--batch-size": "Images that go through the network at once.",
    "--check": "Check before the work or after it: `train` the labels, `convert` the model.",
    "--class-field": "Column that holds the class.",
    "--classes": "Names of classes.",
    "--conf": "Score threshold.",
    "--coverage": "Ground that was searched: `predict` writes it, other commands read it.",
    "--crs": "CRS of the output.",
    "--device": "Device that the network runs on.",
    "--distance": "Maximum distance of the centres of two features that are the same object.",
    "--format": "Format of the output.",
    "--gsd": "Ground resolution, in metres per pixel.",
    "--iou": "Minimum IoU of a true positive with its ground truth object.",
    "--model": "Model: a built-in one or a file.",
    "--output": "What the command writes.",
    "--overlap": "Minimum overlap of neighbouring tiles.",
    "--pixel-coords": "Coordinates are pixel columns and rows.",
    "--predictions": "Predictions.",
    "--rasters": "Imagery.",
    "--shard": "Size of shards in a plan; the part of a planned run to compute.",
    "--strict": "Holes are errors.",
    "--thumbnails": "Number of thumbnails.",
    "--tile-size": "Side of a tile, or chip, in pixels.",
    "--truth": "Ground truth.",
    "--zones": "Polygons to count by, or to outline.",
}

Uses = Mapping[str, Option]  # options of one name by command


def options_by_name() -> dict[str, Uses]:
    """Return the options of all commands by name, in alphabetical order."""
    uses: dict[str, dict[str, Option]] = {}
    for command in COMMANDS:
        for option in load_command(command).options.values():
            uses.setdefault(option.long_flag, {})[command] = option
    return dict(sorted(uses.items()))


def page_text() -> str:
    """Return the page."""
    names = options_by_name()
    shared = {name: uses for name, uses in names.items() if len(uses) > 1}
    lines = [INTRODUCTION, "## Values", "", "| placeholder | value |", "|---|---|"]
    lines += [f"| {code(name)} | {escaped(text)} |" for name, text in VALUES.items()]
    lines += ["", "## Options of several commands", ""]
    lines += ["| option | meaning | commands |", "|---|---|---|"]
    lines += [
        f"| {heading(uses)} | {meaning(name, uses)} | {commands_text(uses)} |"
        for name, uses in shared.items()
    ]
    for command in COMMANDS:
        single = {name: uses for name, uses in names.items() if list(uses) == [command]}
        if single:
            lines += [
                "",
                f"## Options of `{command}` only",
                "",
                "| option | meaning |",
                "|---|---|",
            ]
            lines += [f"| {heading(u)} | {meaning(name, u)} |" for name, u in single.items()]
    lines += [
        "",
        "## Names of earlier versions",
        "",
        "| name | command | option |",
        "|---|---|---|",
    ]
    lines += [
        f"| `--{former.replace('_', '-')}` | {command} | `{name}` |"
        for name, uses in names.items()
        for command, option in uses.items()
        for former in option.former_names
        if command not in names.get(f"--{former.replace('_', '-')}", {})
    ]
    lines += ["", "## Exit codes", "", "| code | meaning |", "|---|---|"]
    lines += [f"| {int(exit_code)} | {exit_code.meaning} |" for exit_code in ExitCode]
    return "\n".join(lines) + "\n"


def heading(uses: Uses) -> str:
    """Return the forms of an option: long, short and as an argument, with its value."""
    options = list(uses.values())
    first = options[0]
    values = list(dict.fromkeys(option.metavar for option in options if option.metavar))
    flags = [f"-{first.form.short}"] if first.form.short else []
    flags.append(first.long_flag)
    if first.is_switch and first.field.default is True:
        flags.append(f"--no-{first.key}")
    return f"{' '.join(map(code, flags))} {' or '.join(map(code, values))}".strip()


def meaning(name: str, uses: Uses) -> str:
    """Return the meaning of a name, with what differs between commands."""
    by_text: dict[str, list[str]] = {}
    for command, option in uses.items():
        by_text.setdefault(description(command, option), []).append(command)
    if len(by_text) == 1:
        return next(iter(by_text))
    texts = [f"*{', '.join(commands)}*: {text}" for text, commands in by_text.items()]
    return "<br>".join([MEANINGS[name], *texts])


def description(command: str, option: Option) -> str:
    """Return the description of an option of a command as Markdown, with default and range."""
    flags = {o.field_name: o.long_flag for o in load_command(command).options.values()}
    text = re.sub(
        r"`([a-z]\w*)`",
        lambda match: f"`{flags.get(match[1], match[1])}`",
        option.field.description or "",
    )
    details = [detail for detail in option.details if not detail.startswith("also ")]
    return escaped(f"{text} [{'; '.join(details)}]" if details else text)


def commands_text(uses: Iterable[str]) -> str:
    """Return names of commands; of nearly all of them the exceptions."""
    missing = [command for command in COMMANDS if command not in uses]
    if len(missing) <= 2:
        return f"all but {' and '.join(missing)}" if missing else "all"
    return ", ".join(uses)


def code(text: str) -> str:
    """Return a text as code in a cell of a table."""
    return f"`{escaped(text)}`"


def escaped(text: str) -> str:
    """Return a text for a cell of a table."""
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page_text(), encoding="utf-8")
