"""An audit reads what people have, runs what applies, and says what came of it: networks of plain PyTorch, in the files they lie in."""

from __future__ import annotations

import contextlib
import json
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import zoo
from safetensors.torch import save_file
from torch import Tensor

import reconbench
from bench.artefacts.reading import Reading
from bench.audit.audit import _attacked, attack, plan
from bench.audit.positive import positive_control
from bench.audit.subject import Subject, subject_of
from bench.audit.verdict import INCONCLUSIVE, LEAKS, NO_LEAK
from bench.errors import BenchError

FAST = ["steps=20"]
PREPROCESSING = {"mean": str(zoo.MEAN), "std": str(zoo.STD)}


@pytest.fixture(autouse=True)
def _cheap(monkeypatch):
    """The cheapest control alone."""
    monkeypatch.setattr("bench.audit.audit.CONTROLS", ("mean_image",))


def prefixed(state: Mapping[str, Tensor], prefix: str) -> OrderedDict[str, Tensor]:
    return OrderedDict((prefix + name, value) for name, value in state.items())


def saved(path: Path, module: torch.nn.Module, how: str) -> Path:
    """The network as this or that program saves it."""
    state = module.state_dict()
    if how == "safetensors":
        save_file({name: value.contiguous() for name, value in state.items()}, path)
        return path
    wrapped: Any = {
        "state_dict": state,
        "model_state_dict": {"epoch": 3, "model_state_dict": state, "optimizer_state_dict": {"state": {}, "param_groups": []}},
        "lightning": {"epoch": 3, "pytorch-lightning_version": "2.5", "state_dict": prefixed(state, "model."), "callbacks": {}},
        "parallel": prefixed(state, "module."),
        "compiled": {"model": prefixed(state, "_orig_mod.")},
    }[how]
    torch.save(wrapped, path)
    return path


def same_outputs(reading: Reading, animal: zoo.Animal, mean: Tensor, std: Tensor) -> bool:
    """At images that nobody has seen, up to what a softmax forgets."""
    x = animal.controls
    with torch.no_grad():
        mine, theirs = reading.forward(reading.weights, (x - mean) / std), animal.module((x - zoo.MEAN) / zoo.STD)
    if theirs.shape[1] > 1:
        mine, theirs = mine.log_softmax(1), theirs.log_softmax(1)
    return bool((mine - theirs).abs().max() <= 1e-5 * theirs.abs().max().clamp(min=1))


def truth(animal: zoo.Animal) -> Any:
    from bench.api import Secret
    from bench.artefacts.truth import Truth

    return Truth(Secret(animal.members, animal.labels, animal.controls, animal.control_labels), True, None, ())


def read(path: Path | str | torch.nn.Module, animal: zoo.Animal, **more: Any) -> Subject:
    where = path if isinstance(path, torch.nn.Module) else str(path)
    return subject_of(where, truth=truth(animal), shape=zoo.SHAPE, **{**PREPROCESSING, **more})


FILES = [
    ("sequential", "state_dict"),
    ("named", "safetensors"),
    ("one_output", "model_state_dict"),
    ("ten_classes", "parallel"),
    ("sgd", "compiled"),
    ("normed_mlp", "lightning"),
    ("lenet", "state_dict"),
    ("lenet", "safetensors"),
    ("example", "model_state_dict"),
    ("two_convolutions", "lightning"),
    ("vgg", "state_dict"),
    ("vgg", "safetensors"),
    ("overfitted", "state_dict"),
    ("many", "parallel"),
]


@pytest.mark.parametrize(("name", "how"), FILES)
def test_the_file_alone_is_read_to_the_same_outputs_and_attacked(name, how, tmp_path):
    animal = zoo.animal(name)
    subject = read(saved(tmp_path / "net.pth", animal.module, how), animal)
    assert subject.trial is not None
    before = subject.trial.before
    assert same_outputs(subject.trial.reading, animal, before.mean, before.std), subject.notes
    assert any(note.startswith("read with") for note in subject.notes), "what was chosen is said"
    assert subject.facts["train_accuracy"] == pytest.approx(animal.accuracy())
    report = attack(subject, plan([], 1, FAST), positive=False)
    assert any(one.row is not None and one.role == "attack" for one in report.judged)
    of_features = next(one for one in report.judged if one.name == "span_features")
    assert (of_features.row is not None) == (name in ("lenet", "example", "two_convolutions", "vgg"))
    assert report.verdict.outcome in (LEAKS, NO_LEAK, INCONCLUSIVE)
    for one in report.judged:
        assert one.row is not None or one.reason, "what cannot apply says why"


@pytest.mark.parametrize("how", ["state_dict", "lightning", "parallel"])
def test_a_residual_network_is_read_into_the_users_own_class(how, tmp_path):
    animal = zoo.animal("resnet")
    subject = read(saved(tmp_path / "net.pth", animal.module, how), animal, model="zoo:ResNet")
    assert subject.trial is not None
    assert same_outputs(subject.trial.reading, animal, subject.trial.before.mean, subject.trial.before.std)
    assert subject.facts["train_accuracy"] == 1.0
    report = attack(subject, plan(["span_features", "signed_kkt"], 1, FAST), positive=False)
    assert all(one.row is not None and one.premise is not None for one in report.judged if one.role == "attack")
    assert report.verdict.outcome in (LEAKS, NO_LEAK, INCONCLUSIVE)


def test_a_residual_network_read_as_a_chain_is_not_called_safe(tmp_path):
    animal = zoo.animal("resnet")
    report = attack(read(saved(tmp_path / "net.pth", animal.module, "state_dict"), animal), plan([], 1, FAST), positive=False)
    assert report.verdict.outcome == INCONCLUSIVE
    assert "misread" in report.verdict.sentence()


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("zoo", "not understood"),
        ("zoo:Nothing", "fails"),
        ("no_such_package:f", "fails"),
        ("zoo:SHAPE", "makes no network"),
        ("zoo:LeNet", "not those"),
    ],
)
def test_a_factory_that_does_not_fit_is_one_message(model, says, tmp_path):
    animal = zoo.animal("resnet")
    with pytest.raises(BenchError, match=says):
        read(saved(tmp_path / "net.pth", animal.module, "state_dict"), animal, model=model)


# --- graphs of data ---------------------------------------------------------------------------------------------------------------------


def onnx_of(animal: zoo.Animal, path: Path) -> Path:
    """Two convolutions by ``onnx.helper``, as exporters write them."""
    onnx = pytest.importorskip("onnx")
    state = animal.module.state_dict()
    layers = {"0": "Conv", "3": "Conv", "7": "Gemm", "9": "Gemm"}
    nodes, now = [], "image"
    for key, kind in layers.items():
        attributes: dict[str, Any] = {"pads": [1, 1, 1, 1], "kernel_shape": [3, 3]} if kind == "Conv" else {"transB": 1}
        if key == "7":
            nodes.append(onnx.helper.make_node("Flatten", [now], ["flat"]))
            now = "flat"
        nodes.append(onnx.helper.make_node(kind, [now, f"{key}.weight", f"{key}.bias"], [f"z{key}"], **attributes))
        now = f"z{key}"
        if key != "9":
            nodes.append(onnx.helper.make_node("Relu", [now], [f"a{key}"]))
            now = f"a{key}"
        if kind == "Conv":
            nodes.append(onnx.helper.make_node("MaxPool", [now], [f"p{key}"], kernel_shape=[2, 2], strides=[2, 2]))
            now = f"p{key}"
    f32 = onnx.TensorProto.FLOAT
    value = onnx.helper.make_tensor_value_info
    held = [onnx.numpy_helper.from_array(tensor.numpy(), name) for name, tensor in state.items()]
    graph = onnx.helper.make_graph(nodes, "net", [value("image", f32, ["n", 3, 16, 16])], [value(now, f32, ["n", 2])], held)
    onnx.save(onnx.helper.make_model(graph), str(path))
    return path


def test_an_onnx_file_is_a_graph_of_data(tmp_path):
    animal = zoo.animal("two_convolutions")
    subject = read(onnx_of(animal, tmp_path / "net.onnx"), animal)
    assert subject.trial is not None
    assert same_outputs(subject.trial.reading, animal, subject.trial.before.mean, subject.trial.before.std)
    assert subject.below is not None
    assert subject.below.maps == (8, 4, 4)
    torch.testing.assert_close(subject.below.rows, animal.module.state_dict()["7.weight"])
    report = attack(subject, plan([], 1, FAST), positive=False)
    assert any(one.row is not None and one.role == "attack" for one in report.judged)


def pt2_of(animal: zoo.Animal, path: Path, **change: Any) -> Path:
    """The MLP with a normalisation as ``torch.export.save`` of PyTorch 2.13 writes it: the parts that are read."""
    state = {name: value for name, value in animal.module.state_dict().items() if value.is_floating_point()}
    short = {name: f"{'b' if 'running' in name else 'p'}_{name.replace('.', '_')}" for name in state}

    def tensor(name: str) -> dict[str, Any]:
        return {"as_tensor": {"name": name}}

    def node(target: str, out: str, **given: Any) -> dict[str, Any]:
        arguments = [{"name": key, "arg": tensor(value) if isinstance(value, str) else value, "kind": 1} for key, value in given.items()]
        return {"target": f"torch.ops.aten.{target}", "inputs": arguments, "outputs": [tensor(out)], "metadata": {}}

    statistics = {"running_mean": short["2.running_mean"], "running_var": short["2.running_var"]}
    training = {
        "training": {"as_bool": False},
        "momentum": {"as_float": 0.1},
        "eps": {"as_float": 1e-5},
        "cudnn_enabled": {"as_bool": False},
    }
    nodes = [
        node("flatten.using_ints", "flatten", self="input", start_dim={"as_int": 1}),
        node("linear.default", "linear", input="flatten", weight=short["1.weight"], bias=short["1.bias"]),
        node("batch_norm.default", "norm", input="linear", weight=short["2.weight"], bias=short["2.bias"], **statistics, **training),
        node(change.get("target", "tanh.default"), "tanh", self="norm", **{k: v for k, v in change.items() if k == "output_size"}),
        node("linear.default", "out", input="tanh", weight=short["4.weight"], bias=short["4.bias"]),
    ]
    inputs = [
        {"buffer": {"arg": {"name": short[name]}, "buffer_name": name, "persistent": True}}
        if "running" in name
        else {"parameter": {"arg": {"name": short[name]}, "parameter_name": name}}
        for name in state
    ]
    signature = {
        "input_specs": [*inputs, {"user_input": {"arg": tensor("input")}}],
        "output_specs": [{"user_output": {"arg": tensor("out")}}],
    }
    values = {"input": {"dtype": 7, "sizes": [{"as_int": 2}, {"as_int": 3}, {"as_int": 16}, {"as_int": 16}]}}
    model = {"graph_module": {"graph": {"nodes": nodes, "tensor_values": values}, "signature": signature}}
    config = {}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("net/archive_format", "pt2")
        for i, (name, value) in enumerate(state.items()):
            archive.writestr(f"net/data/weights/weight_{i}", value.contiguous().numpy().tobytes())
            sizes, strides = ([{"as_int": side} for side in sides] for sides in (value.shape, value.stride()))
            meta = {"dtype": 7, "sizes": sizes, "strides": strides, "storage_offset": {"as_int": change.get("offset", 0)}}
            config[name] = {
                "path_name": f"weight_{i}",
                "is_param": True,
                "use_pickle": change.get("use_pickle", False),
                "tensor_meta": meta,
            }
        archive.writestr("net/data/weights/model_weights_config.json", json.dumps({"config": config}))
        archive.writestr("net/data/constants/model_constants_config.json", json.dumps({"config": {}}))
        archive.writestr("net/models/model.json", json.dumps(model))
    return path


def test_an_exported_network_is_a_graph_of_data(tmp_path):
    animal = zoo.animal("normed_mlp")
    subject = read(pt2_of(animal, tmp_path / "net.pt2"), animal)
    assert subject.trial is not None
    assert same_outputs(subject.trial.reading, animal, subject.trial.before.mean, subject.trial.before.std)
    assert subject.first is not None, "its first layer is dense over the pixels"
    report = attack(subject, plan(["span_ica"], 1, []), positive=False)
    assert report.judged[0].row is not None


@pytest.mark.skipif(torch.__version__ < "2.9", reason="exports of this PyTorch keep their weights as a pickle")
@pytest.mark.parametrize("name", ["sequential", "example", "vgg", "resnet"])
def test_what_this_pytorch_exports_is_read_to_the_same_outputs(name, tmp_path):
    animal = zoo.animal(name)
    torch.export.save(torch.export.export(animal.module.eval(), (animal.members[:2],), strict=False), tmp_path / "net.pt2")
    subject = read(tmp_path / "net.pt2", animal)
    assert subject.trial is not None
    assert same_outputs(subject.trial.reading, animal, subject.trial.before.mean, subject.trial.before.std)
    assert subject.facts["train_accuracy"] == pytest.approx(animal.accuracy())
    if name == "sequential":
        assert subject.below is None
        return
    assert subject.below is not None
    own = {"example": ("fc1.weight", (16, 6, 6)), "vgg": ("15.weight", (16, 4, 4)), "resnet": ("head.weight", (1, 1, 8))}[name]
    torch.testing.assert_close(subject.below.rows, animal.module.state_dict()[own[0]])
    assert subject.below.maps == own[1]


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (["serialized_exported_program.json", "serialized_state_dict.pt", "serialized_constants.pt", "version"], "2.8 or earlier"),
        (["net/archive_format", "net/models/model.json", "net/data/weights/model.pt"], "2.8 or earlier"),
        (["net/archive_format", "net/data/aotinductor/model/net.so"], "no archive of one exported network"),
        (
            ["net/archive_format", "net/models/a.json", "net/models/b.json", "net/data/weights/a_weights_config.json"],
            "no archive of one exported network",
        ),
    ],
)
def test_exports_of_another_form_are_refused_with_what_to_do(files, says, tmp_path):
    with zipfile.ZipFile(tmp_path / "net.pt2", "w") as archive:
        for name in files:
            archive.writestr(name, "{}")
    with pytest.raises(BenchError, match=says) as refused:
        read(tmp_path / "net.pt2", zoo.animal("sequential"))
    assert "torch." in refused.value.hint


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"target": "from_file.default"}, "not known here"),
        ({"target": "../os.system"}, "not known here"),
        ({"target": "adaptive_avg_pool2d.default", "output_size": {"as_ints": [100_000, 100_000]}}, "too large"),
        ({"use_pickle": True}, "pickled"),
        ({"offset": 1}, "more numbers than are there"),
        ({"offset": -1}, "more numbers than are there"),
    ],
)
def test_an_exported_network_with_anything_else_in_it_is_refused(change, says, tmp_path):
    with pytest.raises(BenchError, match=says):
        read(pt2_of(zoo.animal("normed_mlp"), tmp_path / "net.pt2", **change), zoo.animal("normed_mlp"))


@pytest.mark.parametrize("name", ["lenet", "example", "resnet", "vgg", "exported"])
def test_attacks_can_put_another_activation_into_any_module(name, tmp_path):
    """Without it the second derivative of a network of kinks is 0, and a search through it sees nothing."""
    if name == "exported":
        subject = read(pt2_of(zoo.animal("normed_mlp"), tmp_path / "net.pt2", target="relu.default"), zoo.animal("normed_mlp"))
    else:
        subject = read(zoo.animal(name).module, zoo.animal(name))
    assert subject.trial is not None
    reading = subject.trial.reading
    x = torch.rand(3, *zoo.SHAPE)
    blocked = reading.forward(reading.weights, x, lambda z: 0 * z)
    assert torch.allclose(blocked, blocked[:1].expand_as(blocked), atol=1e-6), "nothing of the image gets through"
    assert not torch.allclose(reading.forward(reading.weights, x)[0], reading.forward(reading.weights, x)[1], atol=1e-4)
    assert torch.equal(reading.forward(reading.weights, x, torch.relu), reading.forward(reading.weights, x))


@pytest.mark.parametrize("name", ["net.pt2", "net.onnx", "net.pth"])
@pytest.mark.parametrize("damage", ["cut", "noise", "flipped"])
def test_a_damaged_file_is_one_message(name, damage, tmp_path):
    animal = zoo.animal("normed_mlp" if name == "net.pt2" else "two_convolutions")
    path = tmp_path / name
    if name == "net.pt2":
        pt2_of(animal, path)
    elif name == "net.onnx":
        onnx_of(animal, path)
    else:
        saved(path, animal.module, "state_dict")
    content = bytearray(path.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "noise":
        content = bytearray(torch.randint(256, (2000,), generator=torch.Generator().manual_seed(0)).tolist())
    else:
        content[-30] ^= 255
        content[len(content) // 2] ^= 255
    path.write_bytes(bytes(content))
    if damage == "flipped":  # a number that is another one is not found out in every format
        with contextlib.suppress(BenchError):
            assert read(path, animal).trial is not None
        return
    with pytest.raises(BenchError, match=name):
        read(path, animal)


@pytest.mark.parametrize("name", ["vgg", "lenet", "normed_mlp"])
def test_the_weights_before_training_are_read_as_those_after(name, tmp_path):
    animal = zoo.animal(name)
    start, end = (saved(tmp_path / f"{i}.pth", one, "state_dict") for i, one in enumerate((animal.start, animal.module)))
    subject = read(end, animal, initial=str(start))
    known = dict(subject.release.initial_weights)
    theirs = dict(animal.start.named_parameters())
    assert len(known) == len(theirs)
    assert all(torch.equal(one, other) for one, other in zip(known.values(), theirs.values(), strict=True))


# --- verdicts ---------------------------------------------------------------------------------------------------------------------------


def test_an_overfitted_network_leaks_from_its_final_weights():
    animal = zoo.animal("overfitted")
    planned = [*plan(["span_ica"], 1, []), plan(["signed_kkt"], 1, FAST)[0]]  # the second one's premise does not hold here
    report = attack(read(animal.module, animal), planned, positive=False)
    assert report.verdict.outcome == LEAKS
    span = report.judged[0]
    assert span.name == "span_ica"
    assert span.premise is not None
    assert span.premise.holds


def test_its_change_of_weights_gives_more(tmp_path):
    animal = zoo.animal("overfitted")
    start = saved(tmp_path / "start.pth", animal.start, "state_dict")
    end = saved(tmp_path / "end.pth", animal.module, "state_dict")
    report = attack(read(end, animal, initial=str(start)), plan(["span_ica", "span_ica_change"], 1, []), positive=False)
    final, change = report.judged[:2]
    assert final.row is not None
    assert change.row is not None
    assert change.row["recall_members"] >= 1.5 * final.row["recall_members"]
    assert report.verdict.outcome == LEAKS
    with pytest.raises(BenchError, match="not of this network"):
        read(end, animal, initial=str(saved(tmp_path / "other.pth", zoo.animal("sequential").start, "state_dict")))


def test_a_convolutional_network_leaks_through_the_change_of_its_dense_layer():
    animal = zoo.animal("one_convolution")
    subject = read(animal.module, animal, initial=animal.start)
    report = attack(subject, plan(["span_features_change", "span_features", "span_ica"], 1, []), positive=False)
    change, final, ica = report.judged[:3]
    assert report.verdict.outcome == LEAKS
    assert change.row is not None
    assert change.hits()[0] >= 10
    assert change.premise is not None
    assert change.premise.holds
    assert "features" in change.premise.words
    assert final.row is not None
    assert final.premise is not None, "it ran, and what it rests on was measured"
    assert "dense over the pixels" in ica.reason


def test_nothing_found_in_a_convolutional_network_stands_beside_one_that_gives_its_images_away():
    """The layers below stay those of the network, and what is trained anew above them is found out."""
    animal = zoo.animal("one_convolution")
    subject = read(animal.module, animal)
    control = positive_control(subject, 0, features=True)
    assert control is not None
    assert control.facts["train_accuracy"] == 1.0
    kept = [name for name, w in control.release.weights.items() if torch.equal(w, subject.release.weights[name])]
    assert kept == ["0.weight", "0.bias"]
    found = _attacked(plan(["span_features"], 1, [])[0], control, 0, None, lambda text: None)
    assert found.surely(), found.sentence()


@pytest.mark.parametrize(
    ("module", "says"),
    [
        (torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()), "a dense layer"),
        (torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(768, 9), torch.nn.Tanh(), torch.nn.Linear(9, 2)), "span_ica needs no"),
    ],
)
def test_what_the_span_of_features_lacks_is_said(module, says):
    animal = zoo.animal("sequential")
    report = attack(read(module, animal), plan(["span_features"], 1, []), positive=False)
    assert says in report.judged[0].reason
    assert report.verdict.outcome == INCONCLUSIVE
    assert says in report.verdict.sentence()


def test_what_a_dense_first_layer_lacks_is_not_the_weights_before_training(tmp_path):
    """Which would be asked for in vain."""
    animal = zoo.animal("sequential")
    subject = read(saved(tmp_path / "net.pth", animal.module, "state_dict"), animal)
    assert "span_ica" in subject.without("span_features_change")
    assert "span_ica" in subject.without("span_features")
    assert subject.without("span_ica_change") == ""
    found = reconbench.audit(
        animal.module, animal.members, animal.controls, mean=zoo.MEAN, std=zoo.STD, attacks=["span_features", "span_ica"]
    )
    assert "span_features: not run: its first layer is dense over the pixels" in found._repr_html_(), "the summary says it"


def test_a_network_of_many_images_that_stopped_early_does_not_leak():
    animal = zoo.animal("many")
    report = attack(read(animal.module, animal), plan([], 1, FAST))
    assert report.verdict.outcome in (NO_LEAK, INCONCLUSIVE)
    assert zoo.KINDS["many"].images == 10_000
    assert not any(one.surely() for one in report.judged if one.role == "attack")


def test_weights_of_chance_are_inconclusive_with_the_span_attack_too():
    animal = zoo.animal("overfitted")
    report = attack(read(animal.start, animal), plan([], 1, FAST))
    assert report.verdict.outcome == INCONCLUSIVE
    assert report.judged[1].name == "span_ica"
    assert report.judged[1].row is not None, "it ran"


def test_nothing_found_stands_beside_what_would_have_been(monkeypatch):
    """An MLP whose KKT attack finds nothing: the positive control of the same form gives its images away to the span attack."""
    animal = zoo.animal("overfitted")
    blind = read(animal.module, animal)
    monkeypatch.setattr("bench.audit.audit._run", found_only_on_the_positive_control(blind))
    said: list[str] = []
    report = attack(blind, plan(["span_ica"], 1, []), say=said.append)
    assert any("100% of them classified correctly" in line for line in said)
    assert report.positive is not None
    assert report.positive[0].surely()
    assert report.verdict.outcome == NO_LEAK
    assert "on the positive control span_ica" in report.verdict.sentence()


def found_only_on_the_positive_control(subject: Subject) -> Any:
    """An attack that answers with grey at the network under audit."""
    from bench.api import Candidates
    from bench.audit.audit import _run

    def run(planned: Any, release: Any, *more: Any) -> Candidates:
        own = release is subject.first or release is subject.release
        return Candidates(torch.full((4, *zoo.SHAPE), 0.5)) if own else _run(planned, release, *more)

    return run


@pytest.mark.parametrize("name", ["lenet", "normed_mlp"])
def test_a_positive_control_of_any_form_learns_its_images(name, monkeypatch):
    animal = zoo.animal(name)
    control = positive_control(read(animal.module, animal), 0)
    assert control is not None
    assert control.facts["train_accuracy"] >= 0.9
    assert torch.equal(control.truth.secret.members, animal.controls)  # type: ignore[union-attr]


# --- preprocessing ----------------------------------------------------------------------------------------------------------------------


def test_preprocessing_that_nobody_names_is_tried_at_the_members():
    animal = zoo.animal("vgg")
    subject = read(animal.module, animal, mean="", std="")
    assert subject.trial is not None
    assert any(note.startswith("preprocessing:") for note in subject.notes)
    assert (subject.trial.before.mean - zoo.MEAN).abs().max() < 0.1
    assert (subject.trial.before.std - zoo.STD).abs().max() < 0.06


def test_the_first_layer_is_handed_on_in_the_units_of_pixels():
    """Weights that are sums of normalised images, each channel by its own std, become sums of images less the mean."""
    animal = zoo.animal("sequential")
    mean, std = torch.tensor([0.3, 0.5, 0.6]).view(3, 1, 1), torch.tensor([0.1, 0.3, 0.9]).view(3, 1, 1)
    inside = ((animal.members - mean) / std).flatten(1)
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(768, 40), torch.nn.ReLU(), torch.nn.Linear(40, 2))
    sums = torch.randn(40, len(inside), generator=torch.Generator().manual_seed(0))
    module[1].weight = torch.nn.Parameter(sums @ inside / len(inside))
    subject = read(module, animal, mean="0.3,0.5,0.6", std="0.1,0.3,0.9")
    assert subject.first is not None
    torch.testing.assert_close(subject.first.mean_image, mean.expand(zoo.SHAPE))
    rows, pixels = subject.first.weights["layers.0.weight"].double(), (animal.members - mean).flatten(1).double()
    span = torch.linalg.qr(pixels.mT).Q
    assert float((rows - rows @ span @ span.mT).norm() / rows.norm()) < 1e-4


def test_what_would_raise_a_low_accuracy_is_named():
    animal = zoo.animal("lenet")
    told = " ".join(read(animal.module, animal, mean="3", std="").notes)
    assert "of the members are classified correctly; better with --mean" in told
    shifted = zoo.Animal(animal.module, animal.start, animal.members, (animal.labels + 1) % 10, animal.controls, animal.control_labels)
    assert "classes in another order: 0 is its 9" in " ".join(read(animal.module, shifted).notes)
    two = zoo.animal("sgd")
    swapped = zoo.Animal(two.module, two.start, two.members, 1 - two.labels, two.controls, two.control_labels)
    assert "the labels look swapped" in " ".join(read(two.module, swapped).notes)
    blue = zoo.Animal(animal.module, animal.start, animal.members.flip(1), animal.labels, animal.controls, animal.control_labels)
    assert "blue, green, red" in " ".join(read(animal.module, blue).notes)


# --- Python -----------------------------------------------------------------------------------------------------------------------------


def test_the_audit_of_a_module_in_python():
    animal = zoo.animal("overfitted")
    members = torch.utils.data.TensorDataset((animal.members - zoo.MEAN) / zoo.STD, animal.labels)  # as the network gets them
    controls = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(animal.controls, animal.control_labels), batch_size=16)
    found = reconbench.audit(animal.module, members, controls, mean=zoo.MEAN, std=[zoo.STD], attacks=["span_ica"])
    assert found.outcome == LEAKS
    assert found.verdict.startswith("Leaks: ")
    assert found.table["attack"].iloc[0] == "span_ica"
    told = found.images["ssim"].dropna()  # an image without a partner has none, and comes last
    assert told.is_monotonic_decreasing
    assert found.images["ssim"][: len(told)].notna().all()
    assert any("normalised images, brought back" in note for note in found.notes)
    page = found._repr_html_()
    assert "data:image/png;base64," in page
    assert list(found.figures) == ["span_ica"]
    assert found.figures["span_ica"].startswith(b"\x89PNG")
    assert "Leaks: " in page
    assert found.verdict in repr(found)


def test_arrays_and_labels_in_python():
    animal = zoo.animal("sequential")
    found = reconbench.audit(
        animal.module,
        (animal.members.numpy() * 255).round().astype("uint8").transpose(0, 2, 3, 1),
        animal.controls.numpy(),
        labels=animal.labels.tolist(),
        control_labels=animal.control_labels,
        mean=zoo.MEAN,
        std=zoo.STD,
        attacks=["signed_kkt"],
        params=["steps=5"],
        positive_control=False,
    )
    assert found.report.subject.facts["train_accuracy"] == 1.0
    alone = reconbench.audit(animal.module, animal.members, mean="none", attacks=["span_ica"])
    assert alone.outcome == INCONCLUSIVE
    with pytest.raises(BenchError, match="no images in"):
        reconbench.audit(animal.module, animal.members * 3 - 1, animal.controls)
    with pytest.raises(BenchError, match="does not take the members"):
        reconbench.audit(animal.module, animal.members[..., :8], animal.controls[..., :8])


def test_a_grid_in_python(capsys):
    words = ("--attack", "mean_image", "--seeds", "0", "--set", "dataset=photo_tiles", "--set", "n_per_class=2", "--set", "epochs=5")
    scores = reconbench.run("quick", *words, "--device", "cpu")
    assert scores["attack"].tolist() == ["mean_image"]
    with pytest.raises(BenchError, match="did not run to its end"):
        reconbench.run("no_such_grid")


def test_results_in_python():
    scores, images = reconbench.load_results()
    assert len(scores)
    assert len(images)
    with pytest.raises(AttributeError, match="no attribute"):
        _ = reconbench.nothing
