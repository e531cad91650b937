"""The board in the browser: a results folder as one folder of plain HTML, which needs no server and no network.

``build(results, out)`` reads the rows through ``bench.report`` (``gathered``), so that every number is the one of the Markdown pages, and
writes pages by Jinja templates, which escape all that rows and plug-ins hold. Tables sort and filter by DataTables, plots are Vega's; both
are taken from installed Python packages (``vendored``).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.errors import BenchError
from bench.store import has_results

MARK = "reconbench-site.txt"  # says that a folder is a site, so that it may be made anew
LARGE = 5_000_000  # bytes


@dataclass(frozen=True)
class Built:
    """What came of it."""

    folder: Path
    pages: int
    size: int  # bytes
    notes: list[str]  # what is missing, and why


def build(results: Path, out: Path, tell: Callable[[str], None] | None = None) -> Built:
    """Makes the site of a results folder. What was in the folder of an earlier site is gone.

    Args:
        tell: is called before each part is made.

    Raises:
        BenchError: there are no results, a library is missing, or the folder is there and no site.
    """
    if not has_results(results):
        raise BenchError(f"no results in {results}", expected="scores/", got="none", hint="python -m bench run --grid quick")
    if out.exists() and not (out.is_dir() and ((out / MARK).is_file() or not any(out.iterdir()))):
        raise BenchError(
            f"{out} is no site, so it is left as it is",
            expected="a new folder, an empty one, or a site made before",
            got="other files",
            hint="--out another folder",
        )
    from bench.site.write import contents

    files, notes = contents(results, tell or (lambda _: None))
    beside = out.with_name(f"{out.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    for name, content in files.items():
        path = beside / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (beside / MARK).write_text("Made by python -m bench site, which replaces this folder whole.\n", encoding="utf-8")
    if out.exists():
        shutil.rmtree(out)
    beside.rename(out)
    size = sum(map(len, files.values()))
    if size > LARGE:
        notes.append(f"the site has {size / 1e6:.1f} MB, more than {LARGE / 1e6:.0f} MB")
    return Built(out, sum(name.endswith(".html") for name in files), size, notes)
