import torch

from swinkit.preprocessing import Preprocessing
from swinkit.weights.attached import Attached, attached


def test_a_module_on_which_nobody_left_anything_has_the_defaults():
    found = attached(torch.nn.Identity())
    assert found == Attached("classification", None, False, None, {})
    assert found.temperature == 1


def test_what_was_left_is_read():
    model, look = torch.nn.Identity(), Preprocessing()
    model.task, model.classes, model.multi_label, model.preprocessing = "pretraining", ["a", "b"], True, look
    model.metadata = {"temperature": 2}
    assert attached(model) == Attached("pretraining", ("a", "b"), True, look, {"temperature": 2})
    assert attached(model).temperature == 2


def test_no_classes_are_not_unknown_ones_and_no_metadata_are_empty():
    model = torch.nn.Identity()
    model.classes, model.metadata = (), None
    assert (attached(model).classes, attached(model).metadata) == ((), {})
