"""Probes of the mechanism on rows whose answer is known: near and far inputs, steep and flat ones, whose gradients; and rows with none."""

from __future__ import annotations

import re

import fake
import numpy as np
import pandas as pd
import pytest

from bench.api import Setting
from bench.report import render
from bench.report.aggregate import aggregate
from bench.report.kit import correlation
from bench.report.kit.figures import decode
from bench.report.kit.page import Page
from bench.store import load_results, publish
from bench.tracks.stealing.page import probes, ranking

N, SEEDS = 40, 6  # six equal seeds, of which a sign-flip test says p = 1/32
DEFAULTS = {"queries": 100, "source": "held_out", "noise": 0.1, "model": "same", "hidden": [256], "channels": [16, 32]}
THEFT = {"smooth": 0, "smooth_noise": 0.1, "jacobian": "random", "probes": 1}
TIERS = {
    "steal_labels": "public_images+query_labels", "steal_logits": "public_images+queries",
    "steal_gradients": "public_images+queries+input_gradients", "steal_clean_gradients": "public_images+shadow_data+queries",
    "clean_model": "public_images+shadow_data",
}  # fmt: skip


def line(attack: str, share: float, near: float, index: int = 0, far: float = 0.0, **params):
    """Cells of one line: of the nearer half of the planted inputs a share of ``near`` came along, of the others so many that the mean is
    ``share``. Steepness is the reverse of distance."""
    rows, images = [], []
    defaults = {**DEFAULTS, **(THEFT if attack == "steal_gradients" else {})}
    for seed in range(SEEDS):
        setting = Setting(
            dataset="photo_patches", classes=8, loss="ce", n_per_class=N // 2, hidden=(1000 + index,), defense="memorized_examples",
            seed=seed,
        )  # fmt: skip
        more = {
            "track": "stealing", "access": TIERS[attack], "role": "control" if "clean" in attack else "attack",
            "attack_params": params, "attack_defaults": {k: v for k, v in defaults.items() if k not in params},
            "planted_transfer": share, "planted_transfer_clean": 0.05, "planted_transfer_controls": 0.04, "n_clean": 20,
            "transfer_excess": share - 0.05, "transfer_excess_controls": share - 0.04,
            "watermark_p": 1 / 21, "watermark_tpr": 1.0, "planted_owner": 0.95,
            "agreement": 0.8, "thief_accuracy": 0.7, "clean_accuracy": 0.7, "queries_used": 100,
            "excess_recall": None, "n_members": N, "n_controls": N,
        }  # fmt: skip
        row, _ = fake.cell("probing", attack, setting, {"owner": f"mlp {index}"}, index, (0, 0), **more)
        row["cell_id"] = f"{attack}-{'-'.join(map(str, params.values()))}-{index}-{seed}"
        rows.append(row)
        half = N // 2
        hits = [int(i < near * half) for i in range(half)]
        hits += [int(i < 2 * share * half - sum(hits)) for i in range(half)]
        assert sum(hits) == round(share * N), "the test's own shares"
        rng = np.random.default_rng(seed)
        for split in ("member", "control"):
            for i in rng.permutation(N):
                member = split == "member"
                images.append(
                    {
                        "cell_id": row["cell_id"], "split": split, "index": int(i), "label": int(i) % 8,
                        "transferred": hits[i] if member else 0, "clean_rate": 0.05,
                        "query_distance": far + 0.1 + i / 400 if attack != "clean_model" else None, "gradient_norm": float(N - i),
                    }
                )  # fmt: skip
    return rows, images


def tables(tmp_path, *parts):
    publish([row for rows, _ in parts for row in rows], [image for _, images in parts for image in images], tmp_path)
    return load_results(tmp_path)


PARTS = (
    line("steal_labels", 0.1, 0.1), line("steal_logits", 0.3, 0.5), line("steal_gradients", 0.7, 0.9),
    line("steal_clean_gradients", 0.3, 0.5), line("steal_gradients", 0.6, 0.8, smooth=8),
    line("steal_logits", 0.2, 0.2, far=0.2, source="other_data"), line("clean_model", 0.05, 0.05),
)  # fmt: skip


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("probes")
    scores, images = tables(folder, *PARTS)
    return folder, scores, images, aggregate(scores)


def test_the_plain_lines_are_those_that_probe_nothing(found):
    lines = probes.plain(found[3])
    assert {word: (group.attack, group.hyperparameters["source"]) for word, group in lines.items()} == {
        "labels": ("steal_labels", "held_out"), "logits": ("steal_logits", "held_out"), "gradients": ("steal_gradients", "held_out"),
    }  # fmt: skip
    assert lines["gradients"].hyperparameters["smooth"] == 0


@pytest.mark.parametrize(("column", "halves"), [("query_distance", (0.9, 0.5)), ("gradient_norm", (0.5, 0.9))])
def test_planted_inputs_are_taken_apart_by_quarters_within_each_cell(found, column, halves):
    """Of the nearer half of 20, 18 came along, the first of them first; steepness runs the other way."""
    _, _, images, groups = found
    one = probes.binned(groups, probes._members(images), column)["gradients"]
    ends = [one.at(q) for q in range(4)]
    shares = [share.estimate for _, share in ends]
    assert (shares[0] + shares[1]) / 2 == pytest.approx(halves[0])
    assert (shares[2] + shares[3]) / 2 == pytest.approx(halves[1])
    assert [x for x, _ in ends] == sorted(x for x, _ in ends)
    assert all(share.low <= share.estimate <= share.high for _, share in ends)
    if column == "query_distance":
        assert ends[0][0] == pytest.approx(0.1 + 4.5 / 400, abs=1e-4)
        assert one.rank_correlation().startswith("−")
    else:
        assert one.rank_correlation().startswith("+")


def test_clean_networks_stand_beside_the_thieves_on_the_same_inputs(found):
    _, _, images, groups = found
    every = probes.binned(groups, probes._members(images), "query_distance")
    assert list(every) == ["labels", "logits", "gradients", "clean networks"]
    assert [every["clean networks"].at(q)[1].estimate for q in range(4)] == pytest.approx([0.05] * 4)


def test_lines_that_differ_in_the_gradients_alone(found):
    lines = probes.by_gradients(found[3])
    assert {whose: (group.attack, group.hyperparameters.get("smooth", 0)) for whose, group in lines.items()} == {
        "none, outputs alone": ("steal_logits", 0), "a clean network's": ("steal_clean_gradients", 0),
        "the owner's, mean of 8 at σ 0.1": ("steal_gradients", 8), "the owner's": ("steal_gradients", 0),
    }  # fmt: skip
    assert probes.by_gradients([g for g in found[3] if g.attack in ("steal_logits", "steal_labels")]) == {}


@pytest.mark.parametrize(
    ("own", "others", "word"),
    [
        ([0.4, 0.42, 0.39], [0.0, 0.01, -0.01], "does not explain"),
        ([0.4, 0.42, 0.39], [0.2, 0.21, 0.19], "explains a part"),
        ([0.3, 0.31, 0.29], [0.1, 0.3, 0.2], "inconclusive"),
        ([0.5], [0.1], "not to be told"),
        ([], [], "not to be told"),
        ([0.4, 0.41, 0.39], [0.39, 0.42, 0.39], "may explain it"),
        ([0.0, 0.01, -0.01], [0.2, 0.21, 0.19], "nothing to explain"),
        ([0.4, -0.3, 0.2], [0.0, 0.01, 0.0], "nothing to explain"),
    ],
)
def test_what_the_gradients_of_others_say_in_words(own, others, word):
    assert word in probes._explained(own, others, [a - b for a, b in zip(own, others, strict=True)])


def test_the_page_has_the_three_probes_and_their_pictures(found):
    folder, *_ = found
    render(folder)
    text = (folder / "probing.md").read_text(encoding="utf-8")
    assert "### Mechanism" in text
    for kind in ("query_distance", "gradient_norm", "whose_gradients"):
        picture = folder / "figures" / f"probing_{kind}.png"
        assert f"(figures/probing_{kind}.png)" in text
        assert decode(picture.read_bytes()) is not None or picture.stat().st_size > 5000
    assert "geometry alone **does not explain**" in text
    [row] = [line for line in text.splitlines() if "| the owner's |" in line]
    assert "70 % [" in row
    assert "+0.65 [" in row, "beyond clean networks"
    assert "+0.40 [+0.40, +0.40]" in row, "beyond outputs alone, every seed the same"
    sources = text[text.index("By what is asked about") :].splitlines()
    order = [re.search(r"\| (held out|other data) \|", row)[1] for row in sources if re.search(r"\| (held out|other data) \|", row)]
    assert order[-1] == "other data", "the farthest last"
    assert "held out" in order


def test_two_renderings_are_the_same(found):
    folder, *_ = found
    render(folder)
    before = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    render(folder)
    assert before == {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_older_rows_say_nothing_of_the_mechanism(tmp_path):
    """Rows without inputs of their own, and without probing lines: no section, no pictures, no error."""
    scores, _ = tables(tmp_path, *((rows, []) for rows, _ in PARTS[:3]))
    render(tmp_path)
    text = (tmp_path / "probing.md").read_text(encoding="utf-8")
    assert "### By access" in text
    assert "Mechanism" not in text
    assert not [p for p in (tmp_path / "figures").glob("*") if any(kind in p.name for kind in ("distance", "norm", "gradients"))]
    assert probes.section(aggregate(scores), scores, pd.DataFrame({c: [] for c in ("split", "transferred", "cell_id", "index")}), {}) == []


def page(groups):
    return Page("g", "g", "", "", pd.DataFrame(), groups)


def test_the_page_says_whether_labels_alone_are_apart_from_clean_networks(tmp_path):
    scores, _ = tables(tmp_path, line("steal_labels", 0.05, 0.1), line("steal_labels", 0.4, 0.4, index=1), line("steal_logits", 0.5, 0.5))
    text = "\n".join(ranking.ByAccess().lines(page(aggregate(scores))))
    assert "- mlp 0: steal_labels is not apart from the clean level (0.00 [" in text
    assert "- mlp 1: steal_labels is **above** the clean level (+0.35 [" in text
    assert "steal_logits is" not in text


def test_the_ranking_says_what_a_thief_asks_about_and_what_it_is(tmp_path):
    parts = [
        line("steal_logits", 0.3, 0.3, source="perturbed", noise=0.2), line("steal_logits", 0.2, 0.2, model="mlp", hidden=[192]),
        line("steal_logits", 0.1, 0.1, model="cnn", hidden=[64], channels=[8, 16]), line("clean_model", 0.05, 0.05),
    ]  # fmt: skip
    scores, _ = tables(tmp_path, *parts)
    lines = ranking.OfCopies().lines(page(aggregate(scores)))
    for words in (
        "| perturbed, σ 0.2 | as the owner's |",
        "| held out | mlp 192 |",
        "| held out | cnn 8-16 64 |",
        "| — | as the owner's |",
    ):
        assert any(words in one for one in lines), words


def test_quarters_are_by_rank_and_equal_numbers_share_one():
    assert correlation.quarter([4.0, 1.0, 3.0, 2.0]).tolist() == [3, 0, 2, 1]
    assert correlation.quarter([5.0] * 4 + [9.0] * 4).tolist() == [1] * 4 + [3] * 4, "by the mean of their ranks"
