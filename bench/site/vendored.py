"""The libraries of other people that the pages use, taken from installed Python packages and put beside the pages, by package and version.

DataTables, which sorts and filters tables, comes out of `itables`; Vega, which draws plots, out of `vl-convert-python`. Nothing is fetched.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from types import ModuleType

from bench.errors import BenchError

EXPORT = re.compile(r"export\s*\{([^{}]*)\};?")
INSTALL = "make site, or pip install 'reconbench[site]' (here: pip install -e '.[site]')"


@dataclass(frozen=True)
class Library:
    """A file of the site that others wrote."""

    file: str
    what: str
    package: str
    version: str
    licence: str  # its text, and that of what is bundled in it
    content: bytes


def libraries() -> list[Library]:
    """Both.

    Raises:
        BenchError: a package is not installed, or is of a version whose bundle is made otherwise.
    """
    return [_datatables(), _vega()]


def needed(module: str, package: str) -> ModuleType:
    """A package of the extra ``site``.

    Raises:
        BenchError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise BenchError(
            f"the site needs the package {package}, which is not installed", expected="the extra 'site'", got=str(error), hint=INSTALL
        ) from error


def _datatables() -> Library:
    """A module by nature, which browsers do not load from the file system; so its exports become properties of the window."""
    needed("itables", "itables")
    found = distribution("itables")
    text = _read("itables", "itables/html/dt_bundle.js")
    exports = list(EXPORT.finditer(text))
    names = dict(re.findall(r"(\w+) as (\w+)", exports[-1][1])) if exports else {}
    mine = next((inner for inner, outer in names.items() if outer == "default"), None)
    if mine is None:
        raise _changed("itables", found.version, "a bundle that exports DataTables")
    end, after = exports[-1].span()
    script = f"(()=>{{{text[:end]}\nwindow.DataTable={mine};\n}})();\n{text[after:]}"
    return Library("datatables.js", "DataTables and jQuery", "itables", found.version, _licence("itables"), script.encode())


def _vega() -> Library:
    """Vega-Embed, and Vega and Vega-Lite in it."""
    package = "vl-convert-python"
    bundle = needed("vl_convert", package).javascript_bundle("window.vegaEmbed=vegaEmbed;")
    return Library("vega.js", "Vega, Vega-Lite and Vega-Embed", package, distribution(package).version, _licence(package), bundle.encode())


def _read(package: str, name: str) -> str:
    found = distribution(package)
    for file in found.files or ():
        if str(file) == name:
            return str(file.read_text(encoding="utf-8"))
    raise _changed(package, found.version, name)


def _licence(package: str) -> str:
    try:
        files = distribution(package).files or ()
    except PackageNotFoundError:
        return ""
    return "\n\n".join(
        str(file.read_text(encoding="utf-8")) for file in files if "LICENSE" in file.name.upper() and "dist-info" in str(file)
    )


def _changed(package: str, version: str, expected: str) -> BenchError:
    return BenchError(f"{package} {version} is not as the site knows it", expected=expected, got="another one", hint=INSTALL)
