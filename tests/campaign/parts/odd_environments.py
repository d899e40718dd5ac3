"""Odd environments: variables, limits, streams, folders, names and users."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from tests.campaign import scenes
from tests.campaign.child import Surroundings
from tests.campaign.commands import OTHERS, PREDICTIONS, Writer
from tests.campaign.harness import Case, Kind, Part
from tests.campaign.scenes import Scene

NOBODY = 65_534
PROCESSES = 0.25  # share of cases that start a process, where the whole environment matters
NUMBERS = ("", "0", "-1", "1", "64", "99999999999999999999", "abc", "1.5", "50%", "1e3")
VARIABLES = {
    "GDAL_CACHEMAX": NUMBERS,
    "GDAL_NUM_THREADS": (*NUMBERS, "ALL_CPUS"),
    "GDAL_DISABLE_READDIR_ON_OPEN": ("", "TRUE", "EMPTY_DIR", "abc"),
    "GDAL_DATA": ("/nowhere", ""),
    "PROJ_DATA": ("/nowhere", ""),
    "PROJ_LIB": ("/nowhere", ""),
    "GDAL_DRIVER_PATH": ("/nowhere", "disable"),
    "GDAL_SKIP": ("GTiff", "GeoJSON GPKG"),
    "GDAL_PAM_ENABLED": ("NO", "abc"),
    "CPL_DEBUG": ("ON", "GTIFF"),
    "CPL_LOG": ("/nowhere/log", "out/log"),
    "CPL_TMPDIR": ("/nowhere",),
    "OGR_SQLITE_SYNCHRONOUS": ("OFF",),
    "OMP_NUM_THREADS": NUMBERS,
    "MKL_NUM_THREADS": NUMBERS,
    "PYTHONHASHSEED": ("0", "123"),
    "PYTHONWARNINGS": ("error", "always", "abc"),
    "PYTHONUTF8": ("0", "1"),
    "PYTHONIOENCODING": ("ascii", "latin-1", "utf-16"),
    "PYTHONUNBUFFERED": ("1",),
    "PYTHONOPTIMIZE": ("2",),
    "LANG": ("C", "xx_XX.UTF-8", "de_DE.ISO-8859-1", ""),
    "LC_ALL": ("C", "POSIX", "xx_XX", "tr_TR.UTF-8"),
    "TZ": ("Asia/Kathmandu", "nowhere", ":", "UTC+25"),
    "COLUMNS": ("0", "1", "10", "-5", "abc", "100000"),
    "LINES": ("0", "abc"),
    "TERM": ("dumb", "", "xterm-256color", "abc"),
    "NO_COLOR": ("1",),
    "FORCE_COLOR": ("1",),
    "TMPDIR": ("/nowhere", "/dev/null", ""),
    "HOME": ("/nowhere", "", "/dev/null", "relative"),
    "XDG_CACHE_HOME": ("/nowhere", "relative", ""),
    "GEODETECT_CACHE_DIR": ("/dev/null", "/proc/nowhere", "", "relative"),
    "MPLBACKEND": ("Qt5Agg", "abc"),
    "MPLCONFIGDIR": ("/nowhere",),
    "CUDA_VISIBLE_DEVICES": ("", "abc"),
    "http_proxy": ("http://127.0.0.1:9",),
}
LIMITS = {
    resource.RLIMIT_AS: (2**30, 3 * 2**29, 2**31),
    resource.RLIMIT_NOFILE: (3, 8, 16, 24, 32, 64),
    resource.RLIMIT_NPROC: (0, 1, 20),
    resource.RLIMIT_STACK: (2**16, 2**20),
    resource.RLIMIT_CORE: (0,),
    resource.RLIMIT_DATA: (2**29, 2**30),  # the harness itself takes 2**28
}
NAMES = (
    b"a b.tif", b"-o.tif", b"--help.tif", b"caf\xc3\xa9.tif", b"latin\xe9.tif", b"new\nline.tif",
    b"tab\t.tif", b"esc\x1b[31m.tif", b"quote'\".tif", b"[bold]x[red].tif", b"`output`.tif",
    b"percent%41%.tif", b"a?b#c&d.tif", b"star*.tif", b"\xe2\x80\xaereversed.tif", b"no suffix",
    b"x" * 240 + b".tif", b".hidden.tif", b"two..tif", b"COM1.tif", b"a:b.tif", b"a,b.tif",
    b"{x}.tif", b"UPPER.TIF", b"back\\slash.tif", b"pipe|layername=x.tif",
)  # fmt: skip


@dataclass
class Setting:
    """What a case changes.

    Args:
        surroundings: Surroundings of the run.
        expects: End of a failure, as for ``Case.run``.
        is_process: Start a real process.
        may_lose_summary: The run may write all files and then fail to print its summary.
    """

    surroundings: Surroundings
    expects: str = "one line"
    is_process: bool = False
    may_lose_summary: bool = False


def prepare(folder: Path) -> Scene:
    """Write the scene, readable for everyone."""
    scene = scenes.prepare_scene(folder)
    folder.chmod(0o755)
    return scene


def try_case(case: Case, scene: Scene) -> None:
    """Run a command in an odd environment: it works or ends with one line, and leaves nothing."""
    rng = case.random
    writer = rng.choice((*PREDICTIONS, *OTHERS))
    setting = Setting(Surroundings(case.folder), is_process=rng.random() < PROCESSES)
    change = rng.choice(CHANGES)
    scene, writer = change(case, setting, scene, writer)
    files = writer.files(case.output)
    before = list(case.output.iterdir())
    outcome = case.run(
        *writer.arguments(scene, case.output),
        surroundings=setting.surroundings,
        is_process=setting.is_process,
        expects=setting.expects,
    )
    case.output.chmod(0o755)
    case.check_outputs(*files)
    journal = files[0].with_name(f"{files[0].name}.journal")
    written = files if outcome.code == 0 or setting.may_lose_summary else [journal]
    case.check_leftovers(*written, *before, case.output / "log")
    if outcome.code == 0 and not all(map(os.path.lexists, files)):
        case.report(Kind.SHORTFALL, "success without the files")


Change = Callable[[Case, Setting, Scene, Writer], tuple[Scene, Writer]]


def _variables(case: Case, setting: Setting, scene: Scene, writer: Writer) -> tuple[Scene, Writer]:
    rng = case.random
    names = rng.sample(sorted(VARIABLES), rng.choice((1, 1, 2, 4)))
    values = {name: rng.choice((None, *VARIABLES[name])) for name in names}
    setting.surroundings = replace(setting.surroundings, variables=values)
    if "PYTHONWARNINGS" in values or "CPL_DEBUG" in values or "FORCE_COLOR" in values:
        setting.expects = "anything"  # asked for more lines
    return scene, writer


def _few_variables(
    case: Case, setting: Setting, scene: Scene, writer: Writer
) -> tuple[Scene, Writer]:
    """Leave none of the usual variables."""
    variables = {"GEODETECT_CACHE_DIR": os.environ["GEODETECT_CACHE_DIR"]}
    setting.surroundings = replace(setting.surroundings, variables=variables, only_variables=True)
    setting.is_process = True
    return scene, writer


def _limits(case: Case, setting: Setting, scene: Scene, writer: Writer) -> tuple[Scene, Writer]:
    rng = case.random
    number = rng.choice(sorted(LIMITS))
    setting.surroundings = replace(
        setting.surroundings,
        limits={number: rng.choice(LIMITS[number])},
        user=NOBODY if number == resource.RLIMIT_NPROC and os.getuid() == 0 else None,
    )
    if setting.surroundings.user:
        case.output.chmod(0o777)
    setting.is_process = False  # the interpreter itself needs more than the tightest limits
    return scene, writer


def _closed_streams(
    case: Case, setting: Setting, scene: Scene, writer: Writer
) -> tuple[Scene, Writer]:
    closed = case.random.choice(((0,), (1,), (2,), (0, 1), (1, 2), (0, 1, 2)))
    setting.surroundings = replace(setting.surroundings, closed=closed)
    if 2 in closed:
        setting.expects = "anything"
    setting.is_process = True
    setting.may_lose_summary = 1 in closed
    return scene, writer


def _folders(case: Case, setting: Setting, scene: Scene, writer: Writer) -> tuple[Scene, Writer]:
    """Run as a user without rights, with folders that cannot be read or written."""
    mode = case.random.choice((0o000, 0o555, 0o333, 0o777))
    case.output.chmod(mode)
    if os.getuid() == 0:
        setting.surroundings = replace(setting.surroundings, user=NOBODY)
        setting.is_process = False  # the interpreter may be in a folder of root
    private = case.folder / "private"  # of the user who runs the campaign
    private.mkdir(mode=0o700)
    folders = (None, str(private / "cache"), str(case.output))
    cache = {"GEODETECT_CACHE_DIR": case.random.choice(folders)}
    if cache["GEODETECT_CACHE_DIR"] != str(case.output):
        setting.surroundings = replace(setting.surroundings, variables=cache)
    return scene, writer


def _names(case: Case, setting: Setting, scene: Scene, writer: Writer) -> tuple[Scene, Writer]:
    """Give the raster a strange name."""
    name = os.fsdecode(case.random.choice(NAMES))
    raster = case.input / name
    raster.write_bytes(scene.raster.read_bytes())
    return replace(scene, raster=raster), writer


def _output_names(
    case: Case, setting: Setting, scene: Scene, writer: Writer
) -> tuple[Scene, Writer]:
    """Give the output a strange name."""
    suffix = Path(writer.output).suffix
    name = os.fsdecode(case.random.choice(NAMES)).removesuffix(".tif").removesuffix(".TIF")
    if writer.beside and "ground" not in writer.beside[0]:
        return scene, writer  # its other files have the same stem
    return scene, replace(writer, output=f"{name}{suffix}")


def _masks(case: Case, setting: Setting, scene: Scene, writer: Writer) -> tuple[Scene, Writer]:
    setting.surroundings = replace(
        setting.surroundings, umask=case.random.choice((0o000, 0o777, 0o077, 0o222, 0o444))
    )
    return scene, writer


def _links(case: Case, setting: Setting, scene: Scene, writer: Writer) -> tuple[Scene, Writer]:
    """Make the output a link: to nothing, to itself, to a folder, or to a device."""
    if writer.output.endswith(".shp"):
        return scene, writer  # whose parts lie beside the target of the link
    target = case.random.choice(("../nothing", writer.output, ".", "/dev/null", "/dev/full"))
    (case.output / writer.output).symlink_to(target)
    return scene, writer


CHANGES: tuple[Change, ...] = (
    _variables,
    _variables,
    _variables,
    _few_variables,
    _limits,
    _closed_streams,
    _folders,
    _names,
    _output_names,
    _masks,
    _links,
)
PART = Part("odd_environments", prepare, try_case)
