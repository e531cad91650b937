"""An S3-compatible server on loopback. Imported by the tests of the store."""

from __future__ import annotations

import logging
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import pytest

KEY, SECRET = "AKIAHUNTER2KEY", "hunter2/in+the=uri"


@contextmanager
def running() -> Iterator[str]:
    """HOST:PORT of a server that is gone afterwards."""
    moto = pytest.importorskip("moto.server")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"{host}:{port}"
    finally:
        server.stop()


def make_bucket(server: str, name: str) -> None:
    """An empty bucket."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    direct.open(urllib.request.Request(f"http://{server}/{name}", method="PUT")).close()


def uri(server: str, bucket: str, prefix: str = "deep/prefix") -> str:
    """How a user names a place in it, credentials included."""
    return f"s3://{KEY}:{quote(SECRET, safe='')}@{bucket}/{prefix}?endpoint_override={server}&scheme=http"
