"""Set before anything is imported: shapes in signatures are enforced, the local store is temporary, and hypothesis repeats itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fuzzing import tried
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

# Tests run side by side (`make test`) have a core each: more threads would only wait for each other. Subprocesses inherit it.
SIDE_BY_SIDE = "PYTEST_XDIST_WORKER" in os.environ
if SIDE_BY_SIDE:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Idle OpenMP threads sleep instead of spinning: on a machine shared with others spinning costs ten times the work. Read when torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# Attacks run next to the secret: their own processes take seconds to start. tests/apart has them.
os.environ["RECONBENCH_SANDBOX"] = "off"
os.environ.pop("MPLBACKEND", None)  # of a notebook that started the suite; tests that import matplotlib themselves would not start

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

# Every annotated call in these rooms is checked by beartype, shapes and dtypes included.
CHECKED = ["bench.metrics", "bench.tracks", "bench.targets", "attacks"]
install_import_hook(CHECKED, "beartype.beartype")

# The suite repeats itself; fuzzing tries other cases each time.
settings.register_profile("suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
settings.register_profile("fuzz", deadline=None, database=None, suppress_health_check=list(HealthCheck))
settings.load_profile("fuzz" if os.environ.get("RECONBENCH_FUZZ") else "suite")

# The developer's own store; only its LPIPS weights are lent to the tests.
OWN_HOME = Path(os.environ.get("RECONBENCH_HOME") or ROOT / ".reconbench").expanduser().absolute()


# Files of twenty seconds of work and more, about the longest first. Side by side they start first, so that none is left alone at the end.
LONG = (
    "test_published.py",
    "test_cli.py",
    "test_verify.py",
    "test_submissions.py",
    "test_commands.py",
    "test_streams.py",
    "test_audit.py",
    "test_perf_suite.py",
    "test_chaos.py",
    "test_claims.py",
    "test_kkt.py",
    "test_guided_informed.py",
    "test_cheats.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long files first, where files run side by side; otherwise all in the order of their names."""
    if SIDE_BY_SIDE:
        items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


def lend_weights(home: Path) -> None:
    """Links the fetched weights into a temporary store. A test that fetches replaces the link, never the file behind it."""
    home.mkdir(parents=True, exist_ok=True)
    weights = home / "weights"
    weights.mkdir(exist_ok=True)
    for file in sorted((OWN_HOME / "weights").glob("*.safetensors")):
        (weights / file.name).symlink_to(file)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many cases the fuzzing tests have tried."""
    if tried:
        terminalreporter.write_line(f"fuzzing: {tried.total()} cases in {len(tried)} tests")


@pytest.fixture(scope="session", autouse=True)
def _session_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A store for fixtures that outlive a test."""
    home = tmp_path_factory.mktemp("session_home")
    lend_weights(home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECONBENCH_HOME", str(home))
        patch.delenv("RECONBENCH_STORE", raising=False)  # the developer's own
        yield


@pytest.fixture(autouse=True)
def bench_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of the test's own, empty but for the weights; RECONBENCH_HOME points at it."""
    home = tmp_path_factory.mktemp("home")
    lend_weights(home)
    monkeypatch.setenv("RECONBENCH_HOME", str(home))
    return home


@pytest.fixture(scope="module")
def few_clean_networks() -> Iterator[None]:
    """Owners of the track stealing with 6 clean networks each in this process, not 100, whose training would be most of a test."""
    from bench.tracks.stealing import targets

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(targets, "CLEAN", 6)
        yield


@pytest.fixture(scope="session", autouse=True)
def _threads() -> None:
    """PyTorch's threads: what OMP_NUM_THREADS says, or all cores but never more than four; small tensors gain nothing from more."""
    import torch

    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(min(4, os.cpu_count() or 1))
