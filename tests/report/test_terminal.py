"""The small plot at the end of a run: the strongest attack and control of each setting, where their intervals are, and nothing wider."""

from __future__ import annotations

import fake
import pandas as pd

from bench.report import terminal
from bench.store import to_table


def plot(values: dict[str, list[float]], width: int = 100, drawn: bool = True, settings: int = 2) -> list[str]:
    """The lines as text. ``values`` are shares of members found, one a setting, by attack."""
    decays = [round(0.001 * k, 3) for k in range(settings)]
    rows, _ = fake.grid("small", "weight_decay", decays, values, seeds=4, thumbnails=False)
    found = terminal.lines(to_table(rows, "scores").to_pandas(), None, width, drawn)
    return ["".join(text for text, _ in line) for line in found]


def test_the_strongest_attack_stands_over_the_strongest_control_at_its_value():
    lines = plot({"haim_kkt": [0.5, 0.9], "span_ica": [0.2, 0.3], "mean_image": [0.0, 0.0], "heldout_images": [0.4, 0.4]})
    head, *pairs, axis = lines
    assert "excess recall" in head
    assert [line.split("  ")[0].strip() for line in pairs] == ["0.001", "", "0.0", ""], "the setting where most is found comes first"
    assert ["haim_kkt" in line for line in pairs] == [True, False, True, False]
    assert ["heldout_images (control)" in line for line in pairs] == [False, True, False, True]
    assert "span_ica" not in "".join(lines)
    assert "mean_image" not in "".join(lines)
    assert max(map(len, lines)) <= 100
    left, right = len(axis) - len(axis.lstrip()), len(axis.rstrip())
    for line in pairs:
        value = float(line.split("[")[0].split()[-1].replace("−", "-"))
        mark = next(i for i, sign in enumerate(line) if sign in "●○")
        low = float(axis.split()[0].replace("−", "-"))
        assert abs((mark - left) / (right - 1 - left) * (1 - low) + low - value) < 0.04
        assert line.index("├") <= mark <= line.index("┤")


def test_a_narrow_terminal_gets_no_plot_and_a_plain_one_ascii():
    values = {"haim_kkt": [0.5, 0.9], "mean_image": [0.1, 0.1]}
    assert plot(values, width=50) == []
    lines = plot(values, drawn=False)
    assert all(line[:60].replace("−", "-").isascii() for line in lines)
    assert "*" in lines[1]
    assert "o" in lines[2]


def test_more_settings_than_fit_are_counted_and_controls_alone_are_no_plot():
    lines = plot({"haim_kkt": [0.1 * k for k in range(1, 7)], "mean_image": [0.1] * 6}, settings=6)
    assert lines[-1] == "and 2 more settings, on the page"
    assert sum("haim_kkt" in line for line in lines) == terminal.MOST
    assert plot({"mean_image": [0.1, 0.1]}) == []
    assert terminal.lines(pd.DataFrame(), None, 100) == []
