"""``verify``: attacks on targets that nobody could know beforehand, beside public ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli import options
from bench.cli.exits import INTERRUPTED, OK, SOME_FAILED, interrupt_on_sigterm
from bench.cli.folders import local_results, probe, results_dir, shadows
from bench.cli.reading import check_jobs, check_memory, load_packages, load_plugins, room_of, seconds_of
from bench.errors import BenchError
from bench.say import say

if TYPE_CHECKING:
    from bench.grids.model import Grid
    from bench.grids.read import Loaded


def verify(
    context: typer.Context,
    folder: Annotated[str, typer.Argument(metavar="[FOLDER]", help="a submission; else --grid")] = "",
    grid: options.Grid = "",
    attack: options.Attacks = [],  # noqa: B006
    set_: options.Set = [],  # noqa: B006
    seeds: options.Seeds = "",
    scale: options.Scale = "",
    device: options.Device = "auto",
    jobs: options.Jobs = None,
    timeout: options.Timeout = "",
    memory: options.Memory = None,
    sandbox: options.Sandbox = "auto",
    plugin: options.Plugins = [],  # noqa: B006
    keep: Annotated[bool, typer.Option("--keep", help="leave the store of the blind targets (default: it is deleted at the end)")] = False,
    out: options.Out = "",
    json: options.Json = False,
) -> int:
    """Run attacks on targets of a secret split.

    Those of a grid, or that of a submission. The split and small changes of the images follow from a salt, RECONBENCH_SALT or one drawn for
    the run. What the attacks get there is compared with what they get on public targets.
    """
    from bench.data.blind import taken

    check_memory(memory)
    check_jobs(jobs)
    seconds = seconds_of(timeout) if timeout else None
    if bool(grid) == bool(folder) or (folder and (attack or set_ or seeds or scale or plugin)):
        raise BenchError(
            "verify takes a grid, or the folder of a submission, which says all else itself", expected="--grid NAME, or FOLDER alone"
        )
    if folder:
        from bench.cli.submitted import verify_folder

        return verify_folder(context, folder, device, jobs, seconds, memory, sandbox, keep, out, json)
    with taken() as salt:  # before a plug-in is loaded
        room = room_of(sandbox, False, device)
        if room is not None:
            context.call_on_close(room.close)
        brought = load_plugins(plugin, room)
        loaded = _loaded(grid, scale, set_, seeds, attack, brought)
        load_packages([spec.name for spec in loaded.grid.attacks], room)
        narrowed = bool(set_ or seeds or plugin) or shadows(loaded)
        into = results_dir(out) if out or not narrowed else local_results()
        from bench.store import has_results

        public = into if out and has_results(into) else results_dir("")
        probe(into)
        interrupt_on_sigterm()  # or blind targets would stay behind
        from bench.engine.progress import choose
        from bench.engine.run import pick_device
        from bench.verify.run import How
        from bench.verify.run import verify as run

        found = run(loaded, salt, How(pick_device(device), jobs or 1, seconds, memory, room), public, choose(), brought, keep)
    if found.interrupted:
        say("interrupted: nothing was kept of it" + ("" if keep else ", and the blind targets are gone"))
        return INTERRUPTED
    from bench.cli.verdicts import publish_rows, tell

    publish_rows(found.rows, into)
    if json:
        import json as json_module
        from dataclasses import asdict

        print(json_module.dumps({"salt_digest": found.salt_digest, "verdicts": found.verdicts(), "rows": [asdict(r) for r in found.rows]}))
    else:
        tell(found)
    return OK if set(found.verdicts().values()) == {"verified"} and not found.left else SOME_FAILED


def _loaded(grid: str, scale: str, set_: list[str], seeds: str, attack: list[str], brought: list[str]) -> Loaded:
    """The grid as it is asked for."""
    import dataclasses

    from bench.grids.points import expand
    from bench.grids.read import load
    from bench.grids.select import override, select_seeds

    loaded = load(grid, scale=scale)
    changed = override(loaded.grid, set_)
    changed = _chosen(select_seeds(changed, seeds) if seeds else changed, attack, brought)
    expand(changed, loaded.source)
    return dataclasses.replace(loaded, grid=changed, overrides=tuple(set_))


def _chosen(grid: Grid, asked: list[str], brought: list[str]) -> Grid:
    """The grid with the attacks to be judged, those asked for or brought or else all, and with all its controls."""
    from bench import registry
    from bench.grids.select import select_attacks

    def is_control(name: str) -> bool:
        entry = registry.entries("attack").get(name)
        return entry is not None and registry.literal(entry, "role") == "control"

    controls = [spec.name for spec in grid.attacks if is_control(spec.name)]
    chosen = asked or brought
    grid = select_attacks(grid, [*chosen, *controls] if chosen else [], extra=brought)
    if all(is_control(spec.name) for spec in grid.attacks):
        raise BenchError(
            "there is no attack to verify", expected="an attack of the grid, --attack NAME, or --plugin FILE", got="controls alone"
        )
    return grid
