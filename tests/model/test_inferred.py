"""If these fail, a new title is not taken for what its metadata say of it."""

import torch
from tests.model.small import ITEMS, SPECS, TRAINED, WIDTH, catalogue, only_trained, tower

from palate.model.inferred import InferredItems
from palate.tokens.batch import Catalogue, MetadataKind


def made(known: Catalogue) -> InferredItems:
    torch.manual_seed(3)
    inferred = InferredItems(SPECS, width=WIDTH)
    inferred.weigh(known)
    for number in range(len(SPECS)):
        inferred.values(number).normal_()
    inferred.mean.normal_()
    inferred.fitted.fill_(True)
    return inferred


def plainly(inferred: InferredItems, known: Catalogue, item: int) -> torch.Tensor:
    """The formula of the module, value by value."""
    total = inferred.mean.clone()
    for number, spec in enumerate(SPECS):
        columns = slice(spec.start, spec.start + spec.width)
        if spec.kind == MetadataKind.VECTOR:
            vector = known.vectors[item, columns]
            length = vector.norm()
            total += 0 if length == 0 else (vector / length) @ inferred.values(number)
            continue
        there = [value for value in known.metadata[item, columns].tolist() if value > 1]
        having = [int((known.metadata[:TRAINED, columns] == value).sum()) for value in there]
        weights = [float(torch.log(torch.tensor((1 + TRAINED) / (1 + n)))) for n in having]
        length = sum(weight**2 for weight in weights) ** 0.5 or 1.0
        for value, weight in zip(there, weights, strict=True):
            total += weight / length * inferred.values(number)[value]
    return total


def test_it_is_the_sum_of_what_each_column_says() -> None:
    known = catalogue()
    inferred = made(known)
    found = inferred(known)
    for item in range(ITEMS):
        expected = plainly(inferred, known, item)
        torch.testing.assert_close(torch.cat([found.input[item], found.output[item], found.bias[item, None]]), expected)


def test_an_item_of_which_nothing_is_known_is_the_mean_item() -> None:
    known = catalogue()
    inferred = made(known)
    found = inferred(known)
    torch.testing.assert_close(found.output[-1], inferred.mean[WIDTH : 2 * WIDTH])


def test_only_items_without_an_id_are_inferred_and_only_once_it_is_fitted() -> None:
    known, it = catalogue(), tower()
    trunk = it(known)
    inferred = made(known)
    it.inferred = inferred
    tables = it(known)
    assert tables.meta_out is not None
    assert trunk.meta_out is not None
    torch.testing.assert_close(tables.meta_out[:TRAINED], trunk.meta_out[:TRAINED])
    torch.testing.assert_close(tables.meta_out[TRAINED:], inferred(known).output[TRAINED:])
    inferred.fitted.fill_(False)
    again = it(known)
    assert again.meta_out is not None
    torch.testing.assert_close(again.meta_out, trunk.meta_out)


def test_a_catalogue_without_new_items_reads_the_trunk_alone() -> None:
    known, it = only_trained(catalogue()), tower()
    before = it(known)
    it.inferred = made(catalogue())
    after = it(known)
    assert before.meta_in is not None
    assert after.meta_in is not None
    torch.testing.assert_close(after.meta_in, before.meta_in, rtol=0, atol=0)
