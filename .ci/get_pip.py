"""Puts pip into a virtual environment whose Python came without ensurepip (Debian without python3-venv): run it with that Python.

Takes the newest pip wheel from the package index (PIP_INDEX_URL or pip's configuration files), checks its hash, and lets it
install itself. Standard library only.
"""

from __future__ import annotations

import configparser
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from pathlib import Path


def index_url() -> str:
    """The index that pip is configured to use."""
    if os.environ.get("PIP_INDEX_URL"):
        return os.environ["PIP_INDEX_URL"]
    for path in (os.environ.get("PIP_CONFIG_FILE", ""), "~/.config/pip/pip.conf", "~/.pip/pip.conf", "/etc/pip.conf"):
        config = configparser.RawConfigParser()
        if path and config.read(Path(path).expanduser()) and config.has_option("global", "index-url"):
            return config.get("global", "index-url")
    raise SystemExit("this Python has no ensurepip, and no package index is configured (PIP_INDEX_URL); apt install python3-venv")


def newest(page: str, base: str) -> tuple[str, str]:
    """URL and sha256 of the newest final pip wheel that a simple-index page lists."""
    found = []
    for href in re.findall(r'href="([^"]+)"', page):
        url, _, fragment = urllib.parse.urljoin(base, href.replace("&amp;", "&")).partition("#")
        match = re.search(r"/pip-(\d+(?:\.\d+)*)-py3-none-any\.whl$", url)
        if match:
            version = tuple(int(part) for part in match[1].split("."))
            found.append((version, url, fragment.removeprefix("sha256=") if fragment.startswith("sha256=") else ""))
    if not found:
        raise SystemExit(f"no pip wheel at {base}; install python3-venv (apt install python3-venv) and run make again")
    return max(found)[1:]


def main() -> None:
    base = index_url().rstrip("/") + "/pip/"
    try:
        with urllib.request.urlopen(base, timeout=60) as answer:
            url, digest = newest(answer.read().decode(), answer.geturl())
        with urllib.request.urlopen(url, timeout=120) as answer:
            wheel = answer.read()
    except OSError as error:
        raise SystemExit(f"cannot reach the package index ({error}); install python3-venv and run make again") from error
    if digest and hashlib.sha256(wheel).hexdigest() != digest:
        raise SystemExit(f"{url} does not have the hash that the index gives; try again, or install python3-venv")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / url.rpartition("/")[2]
        path.write_bytes(wheel)
        subprocess.run([sys.executable, f"{path}/pip", "install", "--quiet", "pip"], check=True)


if __name__ == "__main__":
    main()
