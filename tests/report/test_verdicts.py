"""Verdicts: families that do not weaken each other, effects that are too small to count, and what the grids of a claim come to."""

from __future__ import annotations

import numpy as np
import pytest

from bench.api import Claim
from bench.claims.declarations import declared
from bench.claims.verdicts import (
    ALPHA,
    CONTRADICTED,
    MIXED,
    NO_CONTROL,
    NO_ROWS,
    OPEN,
    REPRODUCED,
    Finding,
    Line,
    judge,
    stands_for,
)
from bench.report import claims_page

SPREAD = (0.0, 0.02, -0.02, 0.01, -0.01)


def finding(effect: float, family: str = "A", grid: str = "g", name: str = "it_works", times: float = 1.0, **more) -> Finding:
    """Five seeds around an effect; not judged yet."""
    said = Claim(name=name, text="It works.", source="ours", grids=("g",), test="level", family=family, **more)
    return Finding("haim_kkt", said, grid, {"": Line({s: effect + times * e for s, e in enumerate(SPREAD)})})


def test_a_new_claim_of_one_paper_weakens_no_other():
    alone = judge([finding(0.03)])[0]
    assert (alone.verdict, alone.tests) == (REPRODUCED, 1)
    noise = [finding(0.0, "B", name=f"noise_{i}") for i in range(30)]
    beside = judge([finding(0.03), *noise])
    assert beside[0] == alone
    assert {one.tests for one in beside[1:]} == {30}
    crowded = judge([finding(0.03), *(finding(0.0, name=f"noise_{i}") for i in range(30))])[0]
    assert (crowded.verdict, crowded.tests) == (OPEN, 31)
    assert crowded.corrected == pytest.approx(31 * alone.p)
    assert crowded.shown > alone.shown


def test_claims_without_a_family_are_those_of_their_attack():
    said = Claim(name="it_works", text="It works.", source="ours", grids=("g",), test="level")
    assert Finding("my_attack", said, "g").family == "my_attack"


def test_each_paper_is_one_family_and_each_family_one_file():
    """A paper whose claims are cut into families of one is corrected for nothing."""
    families: dict[str, set[str]] = {}
    for one in declared()[0]:
        paper = one.claim.source
        families.setdefault(one.claim.family, set()).add(paper)
    import importlib
    import pkgutil

    import attacks.claims

    seen = set()
    for module in pkgutil.iter_modules(attacks.claims.__path__):
        here = vars(importlib.import_module(f"attacks.claims.{module.name}")).values()
        said = {claim.family for group in here if isinstance(group, tuple) for claim in group if isinstance(claim, Claim)}
        assert len(said) == 1, f"{module.name}: {said}"
        assert not said & seen, f"{module.name} shares a family with another file"
        seen |= said
    assert seen == set(families)


def test_an_effect_within_its_margin_is_no_effect_worth_the_name_even_where_there_is_one():
    near, far, wide = (judge([finding(0.004, margin=m, times=t)])[0] for m, t in ((0.05, 1), (0.01, 1), (0.05, 10)))
    assert near.verdict == "equivalent within ±0.05"
    assert far.verdict == OPEN, "not shown to be that small"
    assert wide.verdict == OPEN, "seeds that differ so much show nothing"
    real = judge([finding(0.03, margin=0.1)])[0]
    assert real.p < ALPHA
    assert real.verdict == "equivalent within ±0.1"
    assert real.corrected == real.p_equal
    assert judge([finding(0.3, margin=0.1)])[0].verdict == REPRODUCED
    assert judge([finding(-0.3, margin=0.1)])[0].verdict == CONTRADICTED
    assert judge([finding(0.5, level=0.5, margin=0.1)])[0].verdict == "equivalent within ±0.1"
    page = claims_page.page([near])
    assert "| **equivalent within ±0.05**, no effect worth the name |" in page
    assert "Of 1 claims: 1 equivalent." in page


def test_the_question_whether_there_is_no_effect_is_corrected_too():
    """p of the two one-sided tests is .004 or so: enough alone, not among twenty."""
    one = finding(0.0, margin=0.028)
    assert judge([one])[0].verdict == "equivalent within ±0.028"
    crowd = judge([one, *(finding(0.0, name=f"other_{i}", times=3) for i in range(20))])[0]
    assert crowd.verdict == OPEN
    assert crowd.tests == 21


def test_the_verdict_of_a_claim_is_that_of_every_grid_that_decides():
    good, weak, bad, none = finding(0.3, grid="a"), finding(0.1, grid="b"), finding(-0.3, grid="c"), finding(0.0, grid="d")
    missing, alone = (Finding("haim_kkt", good.claim, grid, verdict=verdict) for grid, verdict in (("e", NO_ROWS), ("f", NO_CONTROL)))

    def together(*some: Finding) -> tuple[str, str]:
        verdict, one = stands_for(judge(some))
        return verdict, one.grid

    assert together(good, weak) == (REPRODUCED, "b"), "the less sure one is shown"
    assert together(good, none, missing) == (REPRODUCED, "a")
    assert together(good, bad)[0] == MIXED
    assert together(none, missing) == (OPEN, "d")
    assert together(missing, alone) == (NO_CONTROL, "f")
    assert together(missing) == (NO_ROWS, "e")
    page = claims_page.page(judge([good, bad, none, missing]))
    assert "**mixed**: reproduced on a; contradicted on c; open on d; no rows on e |" in page
    assert "**reproduced** on a; open on d |" in claims_page.page(judge([good, none]))


def test_a_page_has_a_section_for_each_family_and_says_how_many_tests_it_corrects():
    page = claims_page.page(
        judge([finding(0.3), finding(0.3, "B | <b>", name="b"), finding(0.3, name="c"), finding(0.3, name="c", grid="h")])
    )
    assert "## A\n\n2 claims, 3 tests of a claim in a grid, corrected together." in page
    assert "## B \\| &lt;b&gt;\n\n1 claim, 1 test of a claim in a grid." in page


def test_of_several_controls_the_spread_that_is_hardest_to_tell_says_what_could_be_shown():
    said = finding(0.3).claim
    lines = {name: Line({s: 0.3 + times * e for s, e in enumerate(SPREAD)}) for name, times in (("calm", 1), ("wild", 5), ("still", 0))}
    apart = {name: judge([Finding("haim_kkt", said, "g", {name: line})])[0].shown for name, line in lines.items()}
    assert apart["still"] is None
    assert judge([Finding("haim_kkt", said, "g", lines)])[0].shown == max(apart["calm"], apart["wild"])
    assert np.isclose(apart["wild"], 5 * apart["calm"])


def test_the_page_opens_with_a_line_for_each_paper_and_an_open_line_says_what_its_seeds_could_have_shown():
    found = judge([finding(0.3, "A"), finding(0.001, "B", name="other"), finding(0.002, "B", name="third")])
    text = claims_page.page(found)
    head, _, rest = text.partition("\n## A\n")
    assert "| A | 1 reproduced |" in head
    assert "| B | 2 open |" in head
    assert f"; 5 seeds could have shown {found[1].shown:.3f} |" in rest.partition("<details>")[2].partition("## B")[2]
    assert "could have shown" not in rest.partition("<details>")[0], "what is decided needs none"
