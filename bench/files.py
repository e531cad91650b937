"""Where files lie: in a folder of this machine, or under a prefix of an object store. What is kept there is read and written through here.

A reader sees a file whole or not at all, however its writer was stopped: in a folder it is written beside its place, synced and renamed;
an object store shows an object once all of it has arrived. No message names a credential. No store is waited for beyond 30 s without an
answer, whatever pyarrow's library for it would do (``bench.line``).
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from bench import regular
from bench.errors import BenchError, StorageError, did_you_mean
from bench.home import STORE, kept
from bench.line import Line
from bench.regular import path_of

if TYPE_CHECKING:
    import pyarrow.fs as pafs

T = TypeVar("T")

LEFTOVER = 3600  # seconds after which a temporary file is that of a writer that was killed
AT_ONCE = 16  # requests to an object store
BLOCK = 4 * 2**20  # bytes that must arrive in 30 s, or a line counts as dead
GCS_RETRIES = 10  # seconds for which Google's library tries again, by itself for 15 minutes; its last pause is longer than that
WHOLE = ("s3", "gcs", "abfs")  # file systems of pyarrow where an object appears once all of it has arrived
S3_OPTIONS = ("endpoint_override", "region", "scheme", "tls_ca_file_path")
SECRET_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_STORAGE_KEY", "AZURE_CLIENT_SECRET")


class File(NamedTuple):
    """What a listing says of a file."""

    name: str
    size: int  # bytes


class Files(ABC):
    """A folder of files. Everything raises StorageError where the folder cannot be used: out of reach, forbidden, or full."""

    @abstractmethod
    def __str__(self) -> str:
        """Where it is, as messages say it: without credentials."""

    @abstractmethod
    def within(self, folder: str) -> Files:
        """A folder in this one. It is there once something is put into it."""

    @abstractmethod
    def listing(self) -> list[File]:
        """The files in it, by name; folders and temporary files left out. A folder that is not there has none."""

    @abstractmethod
    def exists(self) -> bool:
        """Whether there is such a folder; in an object store, whether anything lies under its prefix."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            FileNotFoundError: there is none of that name.
            OSError: it is there, and cannot be read.
        """

    @abstractmethod
    def put(self, name: str, content: bytes) -> None:
        """Writes a file whole or not at all; one of that name is replaced, or stays as it was."""

    @abstractmethod
    def delete(self, name: str) -> None:
        """Removes a file, if it is still there."""

    @abstractmethod
    def set_aside(self, name: str, aside: str) -> None:
        """Gives a file another name, if it is still there."""

    @abstractmethod
    def probe(self) -> None:
        """Writes something and removes it again, to see whether that can be done."""

    def sweep(self) -> None:  # noqa: B027 - where nothing is left, nothing is to be done
        """Removes what writers that were killed have left."""

    def each(self, function: Callable[[File], T], files: Iterable[File]) -> Iterator[T]:
        """The function of every file, in order; several at a time where each is a way to a server and back."""
        return map(function, files)

    def at(self, name: str) -> str:
        """A file as messages name it."""
        return f"{self}/{name}"


def store_files() -> Files:
    """Where rows, targets and reconstructions are kept: ``$RECONBENCH_STORE``, or this machine's own folder."""
    return files_at(kept())


def files_at(where: Files | Path | str) -> Files:
    """The folder at a path, or at a URI of one of pyarrow's file systems.

    Raises:
        BenchError: a URI that is not understood.
        StorageError: it cannot be reached, or there is no such bucket.
    """
    if isinstance(where, Files):
        return where
    if isinstance(where, str) and is_uri(where):
        return Folder(unquote(urlsplit(where).path)) if where.startswith("file:") else _remote(where)
    return Folder(where)


def is_uri(where: str) -> bool:
    """Whether a text names a place by URI and not by path."""
    return "://" in where


def shown(where: Path | str) -> str:
    """A path or URI as messages say it: without user, password and options."""
    if isinstance(where, Path) or not is_uri(where):
        return str(where)
    scheme, _, rest = where.partition("://")
    return f"{scheme}://{rest.partition('?')[0].rpartition('@')[2]}".rstrip("/")


# --- a folder of this machine ---------------------------------------------------------------------------------------------------------


class Afresh(Files):
    """Files of which only those are seen that were written through this object: what a run that starts afresh reads."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self.written: set[str] = set()
        self.folders: dict[str, Afresh] = {}

    def __str__(self) -> str:
        return str(self.files)

    def within(self, folder: str) -> Afresh:
        return self.folders.setdefault(folder, Afresh(self.files.within(folder)))

    def listing(self) -> list[File]:
        return [file for file in self.files.listing() if file.name in self.written]

    def exists(self) -> bool:
        return bool(self.written) or any(folder.exists() for folder in self.folders.values())

    def read(self, name: str) -> bytes:
        if name not in self.written:
            raise FileNotFoundError(name)
        return self.files.read(name)

    def put(self, name: str, content: bytes) -> None:
        self.files.put(name, content)
        self.written.add(name)

    def delete(self, name: str) -> None:
        self.files.delete(name)

    def set_aside(self, name: str, aside: str) -> None:
        self.files.set_aside(name, aside)

    def probe(self) -> None:
        self.files.probe()


class Folder(Files):
    """A folder of this machine. Whoever puts the first file makes it."""

    def __init__(self, path: Path | str) -> None:
        self.path = path_of(path)

    def __str__(self) -> str:
        return str(self.path)

    def within(self, folder: str) -> Folder:
        return Folder(self.path / folder)

    def exists(self) -> bool:
        return self.path.is_dir()

    def listing(self) -> list[File]:
        found = []
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(self.path) as entries:
            for entry in entries:
                if not entry.name.startswith("."):
                    with contextlib.suppress(FileNotFoundError):  # gone since
                        regular.check(self.path / entry.name)
                        if not entry.is_dir():
                            found.append(File(entry.name, entry.stat().st_size))
        return sorted(found)

    def read(self, name: str) -> bytes:
        try:
            return regular.read(self.path / name)
        except PermissionError as error:
            raise StorageError(
                f"cannot read {self.at(name)}", expected="a readable file", got=str(error), hint="check its permissions"
            ) from error

    def put(self, name: str, content: bytes) -> None:
        atomic_write(self.path / name, content)

    def delete(self, name: str) -> None:
        try:
            (self.path / name).unlink(missing_ok=True)
        except OSError as error:
            raise cannot_write(self.path / name, error) from error

    def set_aside(self, name: str, aside: str) -> None:
        try:
            os.replace(self.path / name, self.path / aside)
        except FileNotFoundError:  # another process was faster
            pass
        except OSError as error:
            raise cannot_write(self.path / aside, error) from error

    def probe(self) -> None:
        place = self.path.absolute()
        while not place.exists() and place != place.parent:
            place = place.parent
        try:
            with tempfile.TemporaryFile(dir=place):
                pass
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def sweep(self) -> None:
        for leftover in self.path.glob(".*.tmp"):
            with contextlib.suppress(OSError):
                if time.time() - leftover.stat().st_mtime > LEFTOVER:
                    leftover.unlink()


def atomic_write(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all: a temporary file beside it, fsync, rename.

    Raises:
        StorageError: the disk is full, or the folder cannot be written; an older file at the path is left as it was.
    """
    temporary = path.parent / f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "wb") as handle:
                handle.write(content)
                handle.flush()
                os.fsync(handle.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise cannot_write(path, error) from error
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Makes a rename durable, where the system allows it."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def cannot_write(path: Path, error: OSError) -> StorageError:
    """What a user reads when a file of this machine could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(
            f"the disk is full: {path} was not written",
            expected="free space on the disk (or in the quota)",
            got=str(error),
            hint="free some space and run the same command again; finished cells are kept, an older file was left as it was",
        )
    return StorageError(
        f"cannot write {path}",
        expected="a folder that can be written",
        got=str(error),
        hint=f"check the permissions, or choose another folder with --out, RECONBENCH_HOME or {STORE}; finished cells are kept",
    )


# --- an object store ------------------------------------------------------------------------------------------------------------------


class Remote(Files):
    """A folder of one of pyarrow's file systems.

    Args:
        base: its path in the file system, the bucket first.
        place: how messages name it.
        hidden: texts that no message may contain.
        line: over which all of it is called, other folders of the file system too.
    """

    def __init__(self, filesystem: pafs.FileSystem, base: str, place: str, hidden: frozenset[str], line: Line) -> None:
        self._filesystem, self._base, self._place, self._hidden, self._line = filesystem, base, place, hidden, line

    def __str__(self) -> str:
        return self._place

    def within(self, folder: str) -> Remote:
        return Remote(self._filesystem, f"{self._base}/{folder}", f"{self._place}/{folder}", self._hidden, self._line)

    def exists(self) -> bool:
        with self._reached("list", ""):
            try:
                return bool(self._infos(allow_not_found=False))
            except FileNotFoundError:
                return False

    def listing(self) -> list[File]:
        with self._reached("list", ""):
            infos = self._infos(allow_not_found=True)
        return sorted(File(info.base_name, info.size) for info in infos if info.is_file and not info.base_name.startswith("."))

    def _infos(self, allow_not_found: bool) -> list[pafs.FileInfo]:
        from pyarrow.fs import FileSelector

        selector = FileSelector(self._base, allow_not_found=allow_not_found)
        return self._line.call(lambda: self._filesystem.get_file_info(selector))

    def read(self, name: str) -> bytes:
        def begin() -> tuple[Any, bytes]:
            file = self._filesystem.open_input_file(self._path(name))
            return file, file.read(BLOCK)

        with self._reached("read", name):
            file, block = self._line.call(begin)
            blocks = [block]
            while len(block) == BLOCK:
                block = self._line.call(lambda: file.read(BLOCK))
                blocks.append(block)
            return b"".join(blocks)

    def put(self, name: str, content: bytes) -> None:
        def whole() -> None:
            if self._filesystem.type_name in WHOLE:
                self._write(name, content)
                return
            temporary = f".{name}.{os.getpid()}.{secrets.token_hex(4)}.tmp"
            self._filesystem.create_dir(self._base, recursive=True)
            self._write(temporary, content)
            self._filesystem.move(self._path(temporary), self._path(name))

        with self._reached("write", name):
            self._line.call(whole, times=1 + len(content) // BLOCK)

    def _write(self, name: str, content: bytes) -> None:
        with self._filesystem.open_output_stream(self._path(name)) as stream:
            stream.write(content)

    def delete(self, name: str) -> None:
        with self._reached("delete", name), contextlib.suppress(FileNotFoundError):
            self._line.call(lambda: self._filesystem.delete_file(self._path(name)))

    def set_aside(self, name: str, aside: str) -> None:
        def move() -> None:
            if self._filesystem.get_file_info(self._path(name)).is_file:
                self._filesystem.move(self._path(name), self._path(aside))

        with self._reached("rename", name), contextlib.suppress(FileNotFoundError):
            self._line.call(move)

    def probe(self) -> None:
        name = f".probe-{secrets.token_hex(4)}"
        self.put(name, b"written to see whether that can be done")
        self.delete(name)

    def each(self, function: Callable[[File], T], files: Iterable[File]) -> Iterator[T]:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            yield from pool.map(function, files)

    def _path(self, name: str) -> str:
        return f"{self._base}/{name}"

    @contextlib.contextmanager
    def _reached(self, verb: str, name: str) -> Iterator[None]:
        import pyarrow as pa

        try:
            yield
        except (OSError, pa.ArrowException) as error:
            if verb == "read" and isinstance(error, FileNotFoundError):
                raise
            raise _out_of_reach(f"cannot {verb} {self.at(name) if name else self}", error, self._hidden) from None


def _out_of_reach(what: str, error: Exception, hidden: Iterable[str]) -> StorageError:
    """The error that a user reads, not chained to its cause: that one may name what must stay secret."""
    said = _first_line(error, hidden)
    absent = "NO_SUCH_BUCKET" in said or "not found" in said
    return StorageError(
        what,
        expected="a bucket that exists, a server that answers, and credentials that let this be done",
        got=said,
        hint=("make the bucket first, or " if absent else "")
        + f"check the network, {STORE} and the credentials (for S3: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ~/.aws/credentials; "
        "for Google: GOOGLE_APPLICATION_CREDENTIALS); "
        "then run the same command again: finished cells are kept",
    )


def _first_line(error: Exception, hidden: Iterable[str]) -> str:
    text = (str(error).splitlines() or [type(error).__name__])[0].partition(" (Request ID")[0].partition(" error_info=")[0]
    text = text.rpartition("The underlying error message was: ")[2][:300]  # Google's says at length what credentials are
    for secret in sorted(hidden, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def _hidden(uri: str) -> frozenset[str]:
    """What a URI and the environment say of credentials, as it is written and as it is meant."""
    user, _, password = urlsplit(uri).netloc.rpartition("@")[0].partition(":")
    query = [value for name, value in parse_qsl(urlsplit(uri).query) if name not in S3_OPTIONS]
    known = {user, password, *query, *(os.environ.get(name, "") for name in SECRET_VARIABLES)}
    return frozenset(text for one in known for text in (one, unquote(one)) if len(text) > 3)  # a shorter one would hide everything


@cache
def _remote(uri: str) -> Remote:
    """The folder that a URI names, once a process; the first look at it is here."""
    import pyarrow as pa
    from pyarrow.fs import FileSystem

    hidden, place = _hidden(uri), shown(uri)
    line = Line(place)

    def look() -> Remote:
        filesystem, base = _s3(uri) if uri.startswith("s3://") else FileSystem.from_uri(_patient(uri))
        found = Remote(filesystem, base.rstrip("/"), place, hidden, line)
        found.exists()  # raises if the bucket is not there, or the server not reached
        return found

    try:
        return line.call(look)  # opening asks for credentials, or for the region, and may wait for them
    except (pa.ArrowException, ValueError) as error:
        raise BenchError(
            f"{STORE} is not understood",
            expected="a path, or a URI such as s3://bucket/prefix?region=eu-west-1",
            got=_first_line(error, {uri, *hidden}),
        ) from None
    except OSError as error:
        raise _out_of_reach(f"cannot open {place}", error, hidden) from None


def _patient(uri: str) -> str:
    """The URI for ``FileSystem.from_uri``: where it does not say for how long Google's library tries again, ten seconds."""
    parts = urlsplit(uri)
    if parts.scheme not in ("gs", "gcs") or "retry_limit_seconds" in dict(parse_qsl(parts.query)):
        return uri
    return parts._replace(query="&".join(filter(None, (parts.query, f"retry_limit_seconds={GCS_RETRIES}")))).geturl()


def _s3(uri: str) -> tuple[pafs.FileSystem, str]:
    """An S3 file system and the path in it: ``s3://[KEY:SECRET@]BUCKET/PREFIX?region=…&endpoint_override=HOST:PORT&scheme=http``.

    Made here and not by ``FileSystem.from_uri``, which knows no timeouts and takes three requests for an object.
    """
    from pyarrow.fs import S3FileSystem, resolve_s3_region

    parts = urlsplit(uri)
    login, _, bucket = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    options: dict[str, Any] = dict(parse_qsl(parts.query))
    for name in options:
        if name not in S3_OPTIONS:
            raise BenchError(
                f"{STORE}: unknown option '{name}'.{did_you_mean(name, S3_OPTIONS)}", expected="one of " + ", ".join(S3_OPTIONS), got=name
            )
    if not bucket:
        raise BenchError(f"{STORE} names no bucket", expected="s3://bucket/prefix", got=shown(uri))
    known = options.get("endpoint_override") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if "region" not in options and not known:
        options["region"] = resolve_s3_region(bucket)
    if user:
        options |= {"access_key": unquote(user), "secret_key": unquote(password)}
    # three times 8 s of silence and the pauses between are less than the 30 s after which a call is given up
    filesystem = S3FileSystem(**options, connect_timeout=5, request_timeout=8, allow_delayed_open=True)
    return filesystem, f"{bucket}/{unquote(parts.path).strip('/')}"
