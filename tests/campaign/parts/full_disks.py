"""Disks that are full after some bytes, and output streams that cannot be written."""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.campaign import child, scenes
from tests.campaign.child import ChildError, Surroundings
from tests.campaign.commands import WRITERS
from tests.campaign.harness import Case, Kind, Part
from tests.campaign.scenes import Scene

SIZES = (
    1000,  # less holds no message, as the streams are files, too
    4096,
    5000,
    8192,
    20_000,
    50_000,
    65_536,
    100_000,
    200_000,
)
NEW_MOUNTS_OF_NEW_USER = 0x10020000  # CLONE_NEWUSER | CLONE_NEWNS
FULL = Path("/dev/full")


@dataclass(frozen=True)
class Seeds:
    """A scene, and whether the system lets a process mount a disk for itself."""

    scene: Scene
    has_disks: bool


def prepare(folder: Path) -> Seeds:
    """Write the scene and try to mount a disk."""
    scene = scenes.prepare_scene(folder)
    try:
        child.call_in_child(mount_disk, folder, 4096)
    except ChildError:
        return Seeds(scene, has_disks=False)
    return Seeds(scene, has_disks=True)


def try_case(case: Case, seeds: Seeds) -> None:
    """Run a command whose output meets a limit: it fails with one line and leaves nothing."""
    action = case.random.random()
    if action < 0.15:
        _write_to_full_stream(case, seeds.scene)
    elif action < 0.6 or not seeds.has_disks:
        _limit_files(case, seeds.scene)
    else:
        _fill_disk(case, seeds.scene)


def mount_disk(folder: Path, size: int) -> None:
    """Mount a disk of some bytes on a folder, which only this process and its children see.

    Raises:
        OSError: The system does not allow it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    if libc.unshare(NEW_MOUNTS_OF_NEW_USER) != 0:
        raise OSError(ctypes.get_errno(), "no mounts of its own")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    options = f"size={size}".encode()
    if libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, options) != 0:
        raise OSError(ctypes.get_errno(), "no disk of its own")


def _write_to_full_stream(case: Case, scene: Scene) -> None:
    arguments: Sequence[object] = case.random.choice(
        (
            ["predict", scene.raster, "-m", scene.model, "-o", "-", "--device", "cpu"],
            ["info", scene.raster, "--json"],
            ["info", scene.raster],
            ["models"],
            ["evaluate", scene.truth, scene.truth, "--resamples", 0],
            ["compare", scene.truth, "--register", scene.truth, "-o", "-"],
            ["predict", scene.raster, "-m", scene.model, "--dry-run"],
        )
    )
    outcome = case.run(*arguments, surroundings=Surroundings(case.folder, stdout=FULL))
    if outcome.code == 0:
        case.report(Kind.SHORTFALL, "success, though nothing could be written")


def _limit_files(case: Case, scene: Scene) -> None:
    """Let no file grow beyond a size."""
    rng = case.random
    writer = rng.choice(WRITERS)
    files = writer.files(case.output)
    limits = {resource.RLIMIT_FSIZE: rng.choice((*SIZES, rng.randrange(1000, 300_000)))}
    outcome = case.run(
        *writer.arguments(scene, case.output),
        surroundings=Surroundings(case.folder, limits=limits),
    )
    _check_files(case, files, outcome.code)


def _fill_disk(case: Case, scene: Scene) -> None:
    """Write to a small disk, whose files are copied when the program has ended."""
    rng = case.random
    writer = rng.choice(WRITERS)
    disk = case.folder / "disk"
    disk.mkdir()
    size = 4096 * rng.choice((1, 2, 3, 5, 10, 20, 30, 60, rng.randrange(1, 100)))
    arguments = writer.arguments(scene, disk)
    action = partial(_run_on_disk, disk, size, arguments, case.output)
    outcome = case.run(*arguments, action=action)
    _check_files(case, writer.files(case.output), outcome.code)


def _run_on_disk(disk: Path, size: int, arguments: Sequence[object], copy: Path) -> None:
    mount_disk(disk, size)
    try:
        child.run_program(arguments)
    finally:
        shutil.copytree(disk, copy, dirs_exist_ok=True)


def _check_files(case: Case, files: Sequence[Path], code: int) -> None:
    case.check_outputs(*files)
    journal = files[0].with_name(f"{files[0].name}.journal")
    coverage = case.output / "ground.geojson"  # it is written first, and the journal names it
    case.check_leftovers(*(files if code == 0 else [journal, coverage]))
    if code == 0 and not all(file.exists() for file in files):
        case.report(Kind.SHORTFALL, "success without the files")


PART = Part("full_disks", prepare, try_case)
