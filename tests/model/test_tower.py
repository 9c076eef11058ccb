"""If these fail, a new title is scored by an embedding that nobody trained, or by counts that it has not."""

import pytest
import torch
from tests.model.small import DAY, ITEMS, SIZE, SPECS, TRAINED, WIDTH, age_code, catalogue, only_trained, tower
from torch.nn import functional as F

from palate.model import TowerConfig
from palate.model.loss import Mixture, reference_scores
from palate.model.tower import AgeTable, ItemTower, MixedTable, look_up, point
from palate.tokens.ages import view_bucket
from palate.tokens.batch import AGE_SHAPE, Catalogue, MetadataKind
from palate.words import FIRST_KNOWN, PADDING, UNKNOWN

NEW = slice(TRAINED, ITEMS)
HERE = torch.arange(3)
GATES = pytest.mark.parametrize("gate", ["training", "moment"])


def scores_of(table: MixedTable, state: torch.Tensor, moment: torch.Tensor) -> torch.Tensor:
    mixture = None
    if table.meta is not None:
        assert table.meta_bias is not None
        assert table.gate is not None
        mixture = Mixture(table.meta, table.meta_bias, table.gate.expand(len(HERE), -1))
    return reference_scores(state, table.id, table.id_bias, moment, mixture, table.bias)


def with_ages(known: Catalogue, code: int, item: int) -> Catalogue:
    ages = known.ages.clone()
    ages[:, item] = code
    return known._replace(ages=ages)


@GATES
def test_an_item_outside_training_is_scored_by_what_it_is(gate: str) -> None:
    """By its metadata and its age, and as if every id were another one."""
    made, known = tower(gate=gate), catalogue()
    state, moment = torch.randn(5, WIDTH), torch.tensor([0, 1, 2, 2, 0])
    tables = made(known)
    scores = scores_of(made.output(tables, known, HERE), state, moment)
    assert tables.meta_out is not None
    assert tables.meta_bias is not None
    assert tables.age_bias is not None
    ages = tables.age_bias[1, known.ages.long()][moment]
    expected = state @ tables.meta_out.T + tables.meta_bias + ages
    torch.testing.assert_close(scores[:, NEW], expected[:, NEW])
    torch.nn.init.normal_(made.id)
    torch.nn.init.normal_(made.id_bias)
    again = scores_of(made.output(made(known), known, HERE), state, moment)
    torch.testing.assert_close(again[:, NEW], scores[:, NEW], rtol=0, atol=0)
    assert (again[:, :TRAINED] != scores[:, :TRAINED]).all()


@GATES
def test_an_item_outside_training_is_read_by_what_it_is(gate: str) -> None:
    made, known = tower(gate=gate), catalogue()
    tables = made(known)
    item = torch.arange(SIZE, SIZE + ITEMS - TRAINED, dtype=torch.int32)
    read = made.inputs(tables, known, item, torch.full((len(item),), DAY))
    assert tables.meta_in is not None
    assert made.carried is not None
    there = point(known, torch.tensor([DAY]))
    carried = made.carried(known.ages[there[0], NEW].long())
    torch.testing.assert_close(read, tables.meta_in[NEW] + carried)


@GATES
def test_new_items_change_no_score_of_the_trained_ones(gate: str) -> None:
    made, known = tower(gate=gate), catalogue()
    less = only_trained(known)
    state, moment = torch.randn(3, WIDTH), HERE
    more = scores_of(made.output(made(known), known, HERE), state, moment)
    alone = scores_of(made.output(made(less), less, HERE), state, moment)
    torch.testing.assert_close(more[:, :TRAINED], alone)


def test_reserved_indices_are_themselves() -> None:
    """Padding and unknown have embeddings of their own, whatever the age of the first item."""
    made, known = tower(), catalogue()
    item = torch.tensor([0, 1], dtype=torch.int32)
    for moment in (0, 5 * DAY):
        read = made.inputs(made(known), known, item, torch.full((2,), moment))
        torch.testing.assert_close(read, made.id[:FIRST_KNOWN], rtol=0, atol=0)


@GATES
@pytest.mark.parametrize("seed", range(3))
def test_the_same_items_are_new_as_input_and_as_output(seed: int, gate: str) -> None:
    """Some of them with no event yet and no demand; those that are not new are as they are."""
    made, known = tower(gate=gate, id_dropout=0.5, metadata_dropout=0.0).train(), catalogue()
    torch.manual_seed(seed)
    tables = made(known)
    assert tables.unseen is not None
    dropped = tables.without_id
    assert dropped is not None
    assert (dropped | ~tables.unseen).all()
    assert 0 < int(dropped[:TRAINED].sum()) < TRAINED
    plain = made.eval()(known)
    made.train()
    out, as_is = made.output(tables, known, HERE), made.output(plain, known, HERE)
    for found, usual in ((out.gate, as_is.gate), (out.bias, as_is.bias)):
        assert found is not None
        assert usual is not None
        torch.testing.assert_close(found[:, ~dropped], usual[:, ~dropped], rtol=0, atol=0)
    assert out.gate is not None
    assert out.bias is not None
    assert (out.gate[:, dropped] == 0).all()
    assert made.new_age_bias is not None
    assert made.new_age_bias.launch is not None
    assert made.new_age_bias.views is not None
    codes = known.ages.long()
    unseen = made.new_age_bias()[codes - codes % (AGE_SHAPE[1] * AGE_SHAPE[2])]
    torch.testing.assert_close(out.bias[:, tables.unseen], unseen[:, tables.unseen])
    in_demand = dropped & ~tables.unseen
    torch.testing.assert_close(out.bias[:, in_demand], made.new_age_bias()[codes][:, in_demand])

    item = torch.arange(ITEMS, dtype=torch.int32) + FIRST_KNOWN
    moment = torch.full((ITEMS,), DAY)
    read, usual = made.inputs(tables, known, item, moment), made.inputs(plain, known, item, moment)
    assert tables.meta_in is not None
    assert made.carried is not None
    torch.testing.assert_close(read[dropped], (tables.meta_in + made.carried(known.ages[1].long()))[dropped])
    torch.testing.assert_close(read[~dropped], usual[~dropped], rtol=0, atol=0)


@GATES
def test_where_all_items_have_their_id_ages_are_those_of_items_with_one(gate: str) -> None:
    """And what is said of the others is part of the loss all the same: processes wait for its gradient."""
    made, known = tower(gate=gate).train(), only_trained(catalogue())
    tables = made(known)
    assert tables.without_id is None
    bias = made.output(tables, known, HERE).bias
    assert bias is not None
    assert made.age_bias is not None
    assert made.new_age_bias is not None
    torch.testing.assert_close(bias, made.age_bias()[known.ages[HERE].long()])
    gradients = torch.autograd.grad(bias.sum(), list(made.new_age_bias.parameters()))
    assert all((gradient == 0).all() for gradient in gradients)


def test_a_dropped_item_teaches_its_id_nothing() -> None:
    made, known = tower(id_dropout=0.5).train(), catalogue()
    tables = made(known)
    table = made.output(tables, known, HERE)
    loss = scores_of(table, torch.randn(3, WIDTH), HERE).square().sum()
    loss = (
        loss + made.inputs(tables, known, torch.arange(2, SIZE, dtype=torch.int32), torch.zeros(TRAINED).long()).sum()
    )
    (gradient,) = torch.autograd.grad(loss, [made.id])
    moved = (gradient[FIRST_KNOWN:] != 0).any(1)
    assert tables.without_id is not None
    assert moved.tolist() == (~tables.without_id[:TRAINED]).tolist()


def test_half_of_the_new_items_are_without_events() -> None:
    """The others are in demand already, as a title is that came in after training."""
    made, known = tower(id_dropout=0.5).train(), catalogue()
    torch.manual_seed(0)
    counted = torch.zeros(2)
    for _ in range(300):
        tables = made(known)
        assert tables.unseen is not None
        assert tables.without_id is not None
        counted += torch.stack([tables.without_id[:TRAINED].float().mean(), tables.unseen[:TRAINED].float().mean()])
    torch.testing.assert_close(counted / 300, torch.tensor([0.5, 0.25]), atol=0.04, rtol=0)


def test_no_item_is_new_outside_training_or_without_metadata() -> None:
    known = catalogue()
    new = [item >= TRAINED for item in range(ITEMS)]
    for made in (
        tower(id_dropout=0.9),
        tower(id_dropout=0.0).train(),
        tower(id_dropout=0.9, specs=()).train(),
        tower(id_dropout=0.9, metadata=False).train(),
    ):
        tables = made(known)
        assert tables.without_id is not None
        assert tables.without_id.tolist() == new
        assert tables.unseen is None


@GATES
def test_taking_items_for_new_is_what_dropping_them_is(gate: str) -> None:
    made, known = tower(gate=gate), catalogue()
    tables, items = made(known), torch.arange(ITEMS) % 2 == 0
    taken = tables.taking_for_new(items, items)
    assert tables.without_id is not None
    assert taken.without_id is not None
    assert taken.without_id.equal(tables.without_id | items)
    found, usual = (made.output(each, known, HERE) for each in (taken, tables))
    assert found.gate is not None
    assert usual.gate is not None
    assert (found.gate[:, items] == 0).all()
    assert found.gate[:, ~items].equal(usual.gate[:, ~items])
    assert found.bias is not None
    assert usual.bias is not None
    assert made.new_age_bias is not None
    codes = known.ages.long()
    unseen = made.new_age_bias()[codes - codes % (AGE_SHAPE[1] * AGE_SHAPE[2])]
    torch.testing.assert_close(found.bias[:, items], unseen[:, items])
    assert found.bias[:, ~items].equal(usual.bias[:, ~items])
    in_demand = made.output(tables.taking_for_new(items), known, HERE).bias
    assert in_demand is not None
    torch.testing.assert_close(in_demand[:, items], made.new_age_bias()[codes][:, items])


@pytest.mark.parametrize(
    ("code", "gate_moves", "bias_moves"),
    [((3, 5, 9), True, True), ((4, 4, 9), True, True), ((3, 4, 10), False, True), ((3, 4, 9), False, False)],
    ids=["views", "launch", "demand", "nothing"],
)
def test_a_view_or_a_launch_moves_the_gate_and_demand_does_not(
    code: tuple[int, int, int], gate_moves: bool, bias_moves: bool
) -> None:
    """Of this item, and of no other."""
    made = tower(gate="moment")
    one = with_ages(catalogue(), age_code(3, 4, 9), item=2)
    two = with_ages(one, age_code(*code), item=2)
    before, after = (made.output(made(known), known, HERE) for known in (one, two))
    for old, new, moves in ((before.gate, after.gate, gate_moves), (before.bias, after.bias, bias_moves)):
        assert old is not None
        assert new is not None
        moved = (old != new).any(0).tolist()
        assert moved == [moves and item == 2 for item in range(ITEMS)]
    item, moment = torch.tensor([4], dtype=torch.int32), torch.tensor([DAY])
    read = [made.inputs(made(known), known, item, moment) for known in (one, two)]
    assert bool((read[0] != read[1]).any()) == gate_moves, "as an input it has the age of its moment too"


def test_the_gate_of_training_goes_by_the_events_that_taught_an_id() -> None:
    """In the buckets of ages, whenever it is asked; what nobody acted on has none."""
    made, known = tower(gate="training"), catalogue()
    assert made.gate is not None
    assert made.gate.launch is None
    assert made.gate.views is not None
    counts = torch.tensor([1, 2, 3, 4, 5, 2**40, 0, 0, 0])
    bucket = torch.from_numpy(view_bucket(counts.numpy()))
    known = known._replace(counts=counts)
    tables = made(known)
    gate = made.output(tables, known, HERE).gate
    assert gate is not None
    assert gate.shape == (1, ITEMS)
    torch.testing.assert_close(gate[0, :TRAINED], torch.sigmoid(made.gate.views[bucket[:TRAINED]]))
    moved = with_ages(known, age_code(9, 9, 9), item=2)
    for table in (made.output(made(moved), moved, HERE), made.output(tables, known, HERE[:1])):
        assert table.gate is not None
        torch.testing.assert_close(table.gate, gate, rtol=0, atol=0)
    more = known._replace(counts=counts + torch.tensor([0, 0, 50, 0, 0, 0, 0, 0, 0]))
    after = made.output(made(more), more, HERE).gate
    assert after is not None
    assert (after != gate)[0].tolist() == [item == 2 for item in range(ITEMS)]
    item, moment = torch.tensor([4], dtype=torch.int32), torch.tensor([DAY])
    read = [made.inputs(made(each), each, item, moment) for each in (known, more)]
    assert (read[0] != read[1]).any(), "as an input too"


def test_gates_and_biases_are_those_of_each_moment() -> None:
    """A title that has come up since is another one; as an input too it is what it was at the time."""
    made, known = tower(gate="moment"), catalogue()
    tables = made(known)
    assert tables.gate is not None
    assert tables.age_bias is not None
    points = torch.tensor([0, 2])
    table = made.output(tables, known, points)
    assert table.gate is not None
    assert table.bias is not None
    codes = known.ages[points].long()
    torch.testing.assert_close(table.gate[:, :TRAINED], tables.gate[codes][:, :TRAINED])
    torch.testing.assert_close(table.bias[:, :TRAINED], tables.age_bias[0, codes][:, :TRAINED])
    torch.testing.assert_close(table.bias[:, NEW], tables.age_bias[1, codes][:, NEW])
    assert tables.meta_in is not None
    for point_of, moment in enumerate((0, DAY, 2 * DAY)):
        read = made.inputs(tables, known, torch.tensor([4], dtype=torch.int32), torch.tensor([moment]))
        share = tables.gate[known.ages[point_of, 2].long()]
        assert made.carried is not None
        carried = made.carried(known.ages[point_of, 2, None].long())[0]
        torch.testing.assert_close(read[0], share * made.id[4] + (1 - share) * tables.meta_in[2] + carried)


def test_more_views_speak_for_the_id_from_the_start() -> None:
    """A fresh tower leaves what nobody has seen to its metadata, and what many have seen to its id."""
    fresh = ItemTower(TowerConfig(), SPECS, size=SIZE, width=WIDTH, has_time=True)
    assert fresh.gate is not None
    gate = torch.sigmoid(fresh.gate()).reshape(AGE_SHAPE)[0, :, 0]
    assert (gate.diff() >= 0).all()
    assert gate[0] < 0.2
    assert gate[-1] > 0.8


def test_without_metadata_ids_are_all_there_is() -> None:
    known = only_trained(catalogue())
    known = known._replace(metadata=torch.zeros(TRAINED, 0, dtype=torch.int32), vectors=torch.zeros(TRAINED, 0))
    state = torch.randn(3, WIDTH)
    for made in (tower(specs=(), ages=False), tower(specs=(), has_time=False)):
        tables = made(known)
        scores = scores_of(made.output(tables, known, HERE), state, HERE)
        torch.testing.assert_close(scores, state @ made.id[FIRST_KNOWN:].T + made.id_bias)
        item = torch.arange(SIZE, dtype=torch.int32)
        torch.testing.assert_close(made.inputs(tables, known, item, torch.zeros(SIZE).long()), made.id)
    aged = tower(specs=())
    tables = aged(known)
    assert tables.age_bias is not None
    expected = state @ aged.id[FIRST_KNOWN:].T + aged.id_bias + tables.age_bias[0, known.ages.long()]
    torch.testing.assert_close(scores_of(aged.output(tables, known, HERE), state, HERE), expected)


def test_switched_off_metadata_are_not_read() -> None:
    made, trained = tower(metadata=False, ages=False), only_trained(catalogue())
    assert made.metadata is None
    table = made.output(made(trained), trained, HERE)
    assert table.meta is None
    assert table.gate is None
    assert table.bias is None


def test_a_cell_of_several_values_is_their_mean() -> None:
    """Padding has no say, and an item without any value is no item with some other."""
    made, known = tower(), catalogue()
    assert made.metadata is not None
    genres = made.metadata.column(0, known)
    values = made.metadata.tables["0"]
    for item in range(ITEMS):
        there = known.metadata[item, :2][known.metadata[item, :2] > 0].long()
        torch.testing.assert_close(genres[item], values[there].mean(0))
    known.metadata[0, :2] = 0
    assert (made.metadata.column(0, known)[0] == 0).all()
    origin = made.metadata.column(1, known)
    torch.testing.assert_close(origin, made.metadata.tables["1"][known.metadata[:, 2].long()])


@pytest.mark.parametrize("items", [1, ITEMS])
def test_the_trunk_reads_all_columns(items: int) -> None:
    """Whether a column's values are fewer than the items, and multiplied by themselves, or more."""
    made, known = tower(), catalogue()
    known = known._replace(metadata=known.metadata[:items], vectors=known.vectors[:items], counts=known.counts[:items])
    assert made.metadata is not None
    columns = [made.metadata.column(number, known) for number in range(len(SPECS))]
    trunk = F.silu(made.metadata.trunk(torch.cat(columns, dim=-1)))
    expected = (made.metadata.input(trunk), made.metadata.output(trunk), made.metadata.bias(trunk)[:, 0])
    for found, wanted in zip(made.metadata(known), expected, strict=True):
        torch.testing.assert_close(found, wanted)
    parameters = list(made.metadata.parameters())
    one, two = (
        torch.autograd.grad(sum((part.sin().sum() for part in parts), torch.zeros(())), parameters, retain_graph=True)
        for parts in (made.metadata(known), expected)
    )
    torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("items", [1, ITEMS])
def test_hidden_metadata_are_those_of_a_catalogue_without_them(items: int) -> None:
    """In each step others, of a catalogue that is another one or may have changed since the last step."""
    made = tower(metadata_dropout=0.5)
    both = [
        known._replace(metadata=known.metadata[:items], vectors=known.vectors[:items], counts=known.counts[:items])
        for known in (catalogue(0), catalogue(5))
    ]
    assert not both[0].metadata.equal(both[1].metadata)
    assert made.metadata is not None
    some = False
    for seed in range(8):
        known = both[seed % 4 // 2]
        torch.manual_seed(seed)
        found = made.train().metadata(known)
        torch.manual_seed(seed)
        hidden = torch.rand(len(SPECS), items) < 0.5
        metadata, vectors = known.metadata.clone(), known.vectors.clone()
        for number, spec in enumerate(SPECS):
            if spec.kind == MetadataKind.VECTOR:
                vectors[hidden[number], spec.start : spec.start + spec.width] = 0.0
            else:
                metadata[hidden[number], spec.start : spec.start + spec.width] = PADDING
                metadata[hidden[number], spec.start] = UNKNOWN
        some |= bool(hidden.any())
        expected = made.eval().metadata(known._replace(metadata=metadata, vectors=vectors))
        for ours, plain in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, plain)
        known.metadata[0, 0] = 2 + seed % 2
    assert some


def test_the_age_code_is_read_as_it_is_written() -> None:
    table = AgeTable(launch=True, views=True, demand=True)
    for parameter in table.parameters():
        torch.nn.init.normal_(parameter)
    assert table.launch is not None
    assert table.views is not None
    assert table.demand is not None
    assert table.slope is not None
    total = table()
    # Buckets of demand: none; the first, an eighth of an octave above 2^-8; that above 2^0; and the last.
    for demand, octaves in ((0, None), (1, 0.125), (33, 8.125), (35, 8.625), (127, 31.625)):
        for launch, views in ((0, 0), (11, 17), (3, 4)):
            line, corners = torch.tensor(0.25).log(), table.demand[0]
            if octaves is not None:
                line = torch.tensor(2 ** (octaves - 8) + 0.25).log()
                one, two = table.demand[1 + int(octaves) : 3 + int(octaves)]
                corners = one + (two - one) * (octaves % 1)
            expected = table.launch[launch] + table.views[views] + table.slope[0] * line + corners
            torch.testing.assert_close(total[age_code(launch, views, demand)], expected)


def test_look_up_has_the_gradient_of_plain_indexing() -> None:
    torch.manual_seed(0)
    table = torch.randn(7, requires_grad=True)
    codes, weight = torch.randint(0, 6, (3, 5)), torch.randn(3, 5)
    torch.testing.assert_close(look_up(table, codes), table[codes])
    (fast,) = torch.autograd.grad((look_up(table, codes) * weight).sum(), [table])
    (plain,) = torch.autograd.grad((table[codes] * weight).sum(), [table])
    torch.testing.assert_close(fast, plain)


def test_a_moment_sees_the_last_point_at_or_before_it() -> None:
    known = catalogue()
    moments = torch.tensor([-5, 0, DAY - 1, DAY, DAY + 1, 2 * DAY, 99 * DAY])
    assert point(known, moments).tolist() == [0, 0, 0, 1, 1, 2, 2]


def test_a_vector_without_numbers_says_nothing() -> None:
    made, known = tower(), catalogue()
    assert made.metadata is not None
    assert (made.metadata.column(2, known)[-1] == 0).all()
    expected = F.linear(known.vectors, made.metadata.projections["2"].weight)
    torch.testing.assert_close(made.metadata.column(2, known), expected)
