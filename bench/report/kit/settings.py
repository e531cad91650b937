"""What is compared, in words: data, architecture and training of the settings, and the networks that came of them."""

from __future__ import annotations

from collections.abc import Sequence

from bench.report.kit.groups import CONVOLUTIONS, Group
from bench.report.kit.text import escape, plain


def values(groups: Sequence[Group], name: str) -> list[str]:
    """The different values of a field, as tables print them."""
    return list(dict.fromkeys(plain(group.setting.get(name)) for group in groups))


def compared(groups: Sequence[Group]) -> str:
    """Data, size, architecture and training in one sentence."""

    def words(name: str, singular: str = "") -> str:
        mine = [value for value in values(groups, name) if name not in CONVOLUTIONS or value != "default"]
        text = " / ".join(escape(value) for value in mine) if len(mine) <= 4 else f"{escape(mine[0])} … {escape(mine[-1])}"
        return f"{singular} {text}".strip()

    classes = "two-class task" if values(groups, "classes") == ["binary"] else f"classes: {words('classes')}"
    loss = f"{words('loss')} loss, weight decay {words('weight_decay')}, {words('optimizer')} at lr {words('lr')}"
    model = f"{words('model')} {words('hidden')} {words('activation')}"
    if convolved(groups):
        model += f" after convolutions {words('channels')} (kernel {words('kernel')}, pooling {words('pooling')})"
    parts = [
        f"{words('dataset_display')} ({words('input_shape')}), {classes}",
        f"{words('n_per_class')} training images a class",
        f"{model}, bias: {words('bias')}, first layer's init {words('init_scale')}",
        f"{loss}, {words('epochs')} epochs",
    ]
    if values(groups, "defense") != ["none"]:
        parts.append(f"defence {words('defense')}")
    return "; ".join(parts)


def convolved(groups: Sequence[Group]) -> bool:
    """Whether any of the networks has convolutions."""
    return any(group.setting.get("channels") for group in groups)


def facts(groups: Sequence[Group]) -> list[tuple[Group, list[dict[str, float | None]]]]:
    """For each setting of the groups: a group that stands for it, and the facts of its trained networks."""
    found: dict[tuple[int, str], tuple[Group, dict[str, dict[str, float | None]]]] = {}
    for group in groups:
        _, targets = found.setdefault((group.axis_index, group.label), (group, {}))
        targets.update(group.targets)
    return [(group, [targets[key] for key in sorted(targets)]) for group, targets in found.values()]


def known(targets: Sequence[dict[str, float | None]], name: str) -> list[float]:
    """The values of a fact, of the networks that have it."""
    return [value for target in targets if (value := target[name]) is not None]
