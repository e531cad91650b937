"""The span from answers alone: gradients lie in the rows of the first layer, differences of outputs give them, both counted."""

from __future__ import annotations

import math

import torch

from attacks.explained import Explained
from attacks.explained_by_outputs import ExplainedByOutputs
from attacks.span.asked import by_differences, by_gradients, questions
from bench.api import Architecture
from bench.tracks.reconstruction.work import check_answer, example, narrow

NET = Architecture("mlp", (3, 6, 6), (8,), 3, "relu", "first", "ce")


def test_gradients_lie_in_the_rows_of_the_first_layer_and_span_them() -> None:
    whole, _ = example(NET, 0)
    release = narrow(whole, Explained.needs)
    generator = torch.Generator().manual_seed(0)
    rows = by_gradients(release, questions(release, 40, 0.1, generator), generator).double()
    first = whole.weights["layers.0.weight"].double()
    own, basis = (torch.linalg.svd(m, full_matrices=False)[2][:8] for m in (rows, first))
    torch.testing.assert_close(torch.linalg.svdvals(own @ basis.mT), torch.ones(8, dtype=torch.float64), atol=1e-4, rtol=0)
    assert release.oracle.used == 40


def test_differences_of_outputs_are_the_gradients() -> None:
    whole, _ = example(NET, 0)
    release = narrow(whole, frozenset({"queries", "input_gradients", "public_images"}))
    asked = questions(release, 6, 0.1, torch.Generator().manual_seed(0))
    told, measured = (
        by_gradients(release, asked, torch.Generator().manual_seed(1)),
        by_differences(release, asked, 1e-3, torch.Generator().manual_seed(1)),
    )
    assert release.oracle.used == 6 + 6 * (math.prod(NET.input_shape) + 1)
    assert float(torch.nn.functional.cosine_similarity(told, measured).min()) > 0.99


def test_questions_are_public_images_and_noise() -> None:
    release = narrow(example(NET, 0)[0], Explained.needs)
    plain = questions(release, 12, 0.0, torch.Generator().manual_seed(0))
    assert bool((plain[:, None] == release.public_images).flatten(2).all(2).any(1).all())
    noisy = questions(release, 12, 0.1, torch.Generator().manual_seed(0))
    assert 0.05 < float((noisy - plain).std()) < 0.11
    assert 0 <= float(noisy.min()) <= float(noisy.max()) <= 1


def test_each_attack_says_what_it_asked_and_sees_no_weights() -> None:
    whole, _ = example(NET, 0)
    d = math.prod(NET.input_shape)
    for attack, answers in ((Explained(questions=30), 30), (ExplainedByOutputs(questions=5), 5 * (d + 1))):
        release = narrow(whole, attack.needs)
        assert not any(hasattr(release, name) for name in ("weights", "forward", "mean_image"))
        found = check_answer(attack.reconstruct(release, torch.Generator().manual_seed(0)), release)
        assert found.used == answers
