import dataclasses
import json
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from pushforward.configuration import Recorded, build, class_path, describe
from pushforward.errors import InputError
from pushforward.networks import MLP
from pushforward.objectives import MeanFlow, TimePairs
from pushforward.paths import VP, Affine


@dataclass(frozen=True)
class Piece:
    width: int = 3
    inner: object = None
    shape: tuple = (1, 2)


class Net(nn.Module, Recorded):
    def __init__(self, width: int, mean: torch.Tensor, piece: Piece | None = None):
        super().__init__()
        self.linear = nn.Linear(width, width)


def test_a_piece_of_one_class_need_not_name_it():
    found = build({"class_path": "objectives.MeanFlow", "init_args": {"times": {"distinct": 0.5}}})
    assert found == MeanFlow(times=TimePairs(distinct=0.5))
    with pytest.raises(InputError, match="TimePairs has no option 'distinc'"):
        build({"class_path": "objectives.MeanFlow", "init_args": {"times": {"distinc": 0.5}}})


def test_round_trip_through_json():
    net = Net(2, torch.tensor([0.25, 1.0], dtype=torch.float64), piece=Piece(5, [Affine(VP(0.2, 10.0)), MLP()]))
    again = build(json.loads(json.dumps(describe(net))))
    assert isinstance(again, Net)
    assert describe(again) == describe(net)
    assert again._init_args["mean"].dtype == torch.float64


def test_public_paths_are_short():
    assert class_path(MLP) == "pushforward.networks.MLP"


def test_short_names_are_found_in_their_room():
    assert build({"class_path": "VP", "init_args": {"beta_max": 5.0}}) == VP(beta_max=5.0)
    assert build({"class_path": "paths.VP"}) == VP()


@pytest.mark.parametrize(
    "description, message",
    [
        ({"class_path": "MinibatchOTT"}, "did you mean 'MinibatchOT'"),
        ({"class_path": "paths.VPP"}, "did you mean"),
        ({"class_path": "VP", "init_args": {"beta_mx": 1}}, "no option 'beta_mx'; did you mean 'beta_max'"),
        ({"class_path": "os.system", "init_args": {}}, "no class"),
        ({"class_path": "never_imported.Thing"}, "import its module"),
        ({"class_path": "Uniform"}, "several"),
    ],
)
def test_mistakes_are_named(description, message):
    with pytest.raises(InputError, match=message):
        build(description)


def test_undescribable_objects_are_refused():
    with pytest.raises(TypeError, match="cannot describe"):
        describe(Piece(inner=object()))


def test_recorded_survives_deepcopy():
    import copy

    net = copy.deepcopy(Net(2, torch.zeros(2)))
    assert describe(net)["init_args"]["width"] == 2
    assert dataclasses.is_dataclass(Piece)
