"""If these fail, a title is credited for having been shown in front, or one choice ruins the training."""

import math

import pytest
import torch

from palate.model import PresentationConfig
from palate.model.presentation import Presentation

PLACES = 5


def learned(least: float = 0.1) -> Presentation:
    made = Presentation(PresentationConfig(places=PLACES, least_propensity=least))
    with torch.no_grad():
        made.places.copy_(torch.tensor([0.4, 0.1, -0.7, 0.2, -1.1]))
    return made


def test_the_choice_is_that_of_the_plain_formula() -> None:
    """P(y) = π_y exp(s_y) / Σ π_i exp(s_i), over the places that had an item."""
    torch.manual_seed(0)
    made = learned()
    scores, there = torch.randn(40, PLACES), torch.rand(40, PLACES) < 0.7
    place = torch.randint(0, PLACES, (40,))
    there[torch.arange(40), place] = True
    chosen = torch.zeros(40, PLACES, dtype=torch.bool)
    chosen[torch.arange(40), place] = True
    losses = made.losses(scores, there, chosen).tolist()
    propensity = (made.places - made.places[0]).exp().detach()
    for row in range(40):
        mass = [float(propensity[i] * scores[row, i].exp()) if there[row, i] else 0.0 for i in range(PLACES)]
        assert losses[row] == pytest.approx(-math.log(mass[int(place[row])] / sum(mass)), rel=1e-4)


def test_what_was_not_shown_has_no_say() -> None:
    made = learned()
    there = torch.tensor([[True, False, True, False, False]])
    chosen = torch.tensor([[False, False, True, False, False]])
    scores = torch.zeros(1, PLACES, requires_grad=True)
    loss = made.losses(scores, there, chosen).sum()
    d_scores, d_places = torch.autograd.grad(loss, [scores, made.places])
    assert (d_scores[~there] == 0).all()
    assert (d_places[[1, 3, 4]] == 0).all()
    strange = torch.where(there, 0.0, 1e9)
    torch.testing.assert_close(made.losses(strange, there, chosen).sum(), loss)


def test_an_only_item_is_no_choice() -> None:
    made = learned()
    one = torch.tensor([[False, False, True, False, False]])
    scores = torch.full((1, PLACES), 3.0, requires_grad=True)
    loss = made.losses(scores, one, one).sum()
    assert loss.item() == 0
    (gradient,) = torch.autograd.grad(loss, [scores])
    assert (gradient == 0).all(), "finite, where nothing else was shown"


@pytest.mark.parametrize("least", [0.1, 0.5, 1.0])
def test_propensities_stay_within_the_bound(least: float) -> None:
    """Against that of the first place, which is 1; a bound of 1 corrects nothing."""
    made = learned(least)
    with torch.no_grad():
        made.places.copy_(torch.tensor([0.0, 0.3, -0.3, 9.0, -9.0]))
    found = made.log_propensities().exp()
    assert found[0] == 1
    assert (found >= least - 1e-6).all()
    assert (found <= 1 / least + 1e-6).all()
    torch.testing.assert_close(found[-1], torch.tensor(least))
    if least == 0.1:
        torch.testing.assert_close(found[1:3], torch.tensor([0.3, -0.3]).exp())


def test_a_shift_of_all_places_is_none() -> None:
    made = learned()
    before = made.log_propensities()
    with torch.no_grad():
        made.places += 5.0
    torch.testing.assert_close(made.log_propensities(), before)
