"""Networks that others have trained, as a representation: ONNX files and models of timm."""

from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import gpussl
from gpussl.errors import ConfigError
from gpussl.nets import pretrained
from gpussl.nets.pretrained import MEAN, STD
from gpussl.represent.embedding import Embedding
from gpussl.runtime import config, store
from gpussl.tasks.run import run_on_project

RNG = np.random.default_rng(0)
KERNEL = RNG.normal(size=(5, 3, 3, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory):
    """A convolution and the mean of each of its five maps."""
    onnx = pytest.importorskip("onnx")
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("Conv", ["images", "kernel"], ["maps"]),
        helper.make_node("GlobalAveragePool", ["maps"], ["means"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", floats, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("means", floats, ["n", 5, 1, 1])],
        [onnx.numpy_helper.from_array(KERNEL, "kernel")],
    )
    path = tmp_path_factory.mktemp("onnx") / "tiny.onnx"
    path.write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString()
    )
    return path


@pytest.fixture(scope="module")
def timm():
    """timm, also where torchvision is built for another PyTorch: timm uses none of its compiled operators."""
    pytest.importorskip("onnxruntime", reason="needs gpussl[embed]")
    with mock.patch("torch.library.register_fake", return_value=lambda function: function):
        pytest.importorskip("torchvision", reason="needs gpussl[embed]")
    return pytest.importorskip("timm")


@pytest.fixture(scope="module")
def timm_weights(timm, tmp_path_factory):
    """The name of a small model, and a file of random parameters, with those of its classifier."""
    torch.manual_seed(0)
    model = timm.create_model("test_resnet")
    path = tmp_path_factory.mktemp("timm") / "model.safetensors"
    save_file(model.state_dict(), path)
    return "test_resnet", str(path), model.eval()


def by_hand(pixels, shape):
    """The features of the ONNX file, by PyTorch."""
    images = torch.as_tensor(pixels, dtype=torch.float32).view(-1, *shape).movedim(3, 1)
    if images.shape[1] == 1:
        images = images.expand(-1, 3, -1, -1)
    normal = (images - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    return torch.nn.functional.conv2d(normal, torch.as_tensor(KERNEL)).mean(dim=(2, 3)).numpy()


class TestONNX:
    @pytest.mark.parametrize("shape", [[8, 8, 3], [8, 8, 1]])
    def test_it_is_what_the_network_says(self, onnx_file, shape):
        X = RNG.uniform(size=(70, np.prod(shape))).astype(np.float32)  # more than one batch
        fitted = Embedding(model=str(onnx_file), normalize=False, image_shape=shape).fit(X, seed=0)
        np.testing.assert_allclose(fitted.transform(X), by_hand(X, shape), rtol=1e-4, atol=1e-5)

    def test_lengths_are_one_by_default(self, onnx_file):
        X = RNG.uniform(size=(3, 192)).astype(np.float32)
        made = Embedding(model=str(onnx_file), image_shape=[8, 8, 3]).fit(X, seed=0).transform(X)
        np.testing.assert_allclose(np.linalg.norm(made, axis=1), 1, rtol=1e-5)

    def test_images_are_scaled_to_the_input(self, onnx_file):
        X = np.full((1, 16 * 12), 0.25, dtype=np.float32)
        fitted = Embedding(model=str(onnx_file), normalize=False, image_shape=[16, 12]).fit(X, seed=0)
        expected = by_hand(np.full((1, 64), 0.25, dtype=np.float32), [8, 8, 1])
        np.testing.assert_allclose(fitted.transform(X), expected, rtol=1e-3, atol=1e-4)

    def test_it_is_saved_with_the_network(self, onnx_file, tmp_path):
        X = RNG.uniform(size=(3, 192)).astype(np.float32)
        fitted = Embedding(model=str(onnx_file), image_shape=[8, 8, 3]).fit(X, seed=0)
        store.save(tmp_path / "step.safetensors", fitted)
        np.testing.assert_array_equal(store.load(tmp_path / "step.safetensors").transform(X), fitted.transform(X))


class TestTimm:
    def test_it_is_what_the_network_says_without_its_classifier(self, timm_weights):
        name, weights, model = timm_weights
        X = RNG.uniform(size=(2, 32 * 32)).astype(np.float32)
        fitted = Embedding(model=name, weights=weights, size=32, normalize=False, image_shape=[32, 32]).fit(X, seed=0)
        images = torch.as_tensor(X).view(2, 1, 32, 32).expand(-1, 3, -1, -1)
        mean, std = (torch.tensor(fitted.pretrained.__dict__[part])[:, None, None] for part in ("mean", "std"))
        with torch.inference_mode():
            expected = model.forward_head(model.forward_features((images - mean) / std), pre_logits=True)
        np.testing.assert_allclose(fitted.transform(X), expected.numpy(), rtol=1e-4, atol=1e-5)

    def test_it_is_saved_with_its_parameters(self, timm_weights, tmp_path):
        name, weights, _ = timm_weights
        X = RNG.uniform(size=(2, 32 * 32)).astype(np.float32)
        fitted = Embedding(model=name, weights=weights, size=32, image_shape=[32, 32]).fit(X, seed=0)
        store.save(tmp_path / "step.safetensors", fitted)
        np.testing.assert_array_equal(store.load(tmp_path / "step.safetensors").transform(X), fitted.transform(X))

    def test_what_is_wrong_is_said(self, timm_weights, tmp_path, monkeypatch):
        name, weights, _ = timm_weights
        X = np.zeros((1, 64), dtype=np.float32)
        with pytest.raises(ConfigError, match="found 'test_resnett'; such as test_resnet"):
            Embedding(model="test_resnett", image_shape=[8, 8]).fit(X, seed=0)
        with pytest.raises(ConfigError, match="expected the parameters of test_vit, found a file without"):
            Embedding(model="test_vit", weights=weights, image_shape=[8, 8]).fit(X, seed=0)
        with pytest.raises(ConfigError, match="expected a safetensors file, found /nowhere"):
            Embedding(model=name, weights="/nowhere", image_shape=[8, 8]).fit(X, seed=0)
        hub = pytest.importorskip("huggingface_hub")
        monkeypatch.setattr(hub, "hf_hub_download", lambda *_: (_ for _ in ()).throw(OSError("offline")))
        with pytest.raises(ConfigError, match=r"timm/test_resnet.r160_in1k in the cache or on the hub, found neither"):
            Embedding(model=name, image_shape=[8, 8]).fit(X, seed=0)


class TestErrors:
    def test_a_file_that_is_no_network(self, tmp_path):
        pytest.importorskip("onnxruntime")
        (tmp_path / "a.onnx").write_bytes(b"no network")
        with pytest.raises(ConfigError, match="expected an ONNX file, found another"):
            Embedding(model=str(tmp_path / "a.onnx"), image_shape=[8, 8]).fit(np.zeros((1, 64)), seed=0)

    def test_a_size_that_the_network_does_not_take(self, onnx_file):
        with pytest.raises(ConfigError, match="size: expected 8 x 8, the input of the network, found 224"):
            Embedding(model=str(onnx_file), size=224, image_shape=[8, 8]).fit(np.zeros((1, 64)), seed=0)

    def test_points_that_are_no_images(self, onnx_file):
        with pytest.raises(ConfigError, match="expected the pixels of images"):
            Embedding(model=str(onnx_file)).fit(np.zeros((1, 7)), seed=0)


def test_a_project_by_a_network(onnx_file, tmp_path, capsys):
    """The pictures are embedded once: learn finds what choose computed."""
    for number in range(40):
        colour = (200, 30, 30) if number % 2 else (30, 30, 200)
        noise = RNG.integers(0, 30, (8, 8, 3))
        Image.fromarray((np.array(colour) + noise).astype(np.uint8)).save(tmp_path / f"{number:02}.png")
    common = (
        "+experiment=own_data", "device=cpu", "classifier=[knn]", "data=images", f"data.path={tmp_path}",
        "represent=[embedding]", f"represent.embedding.model={onnx_file}", f"cache={tmp_path}/cache",
        f"project={tmp_path}/p.gpussl",
    )  # fmt: skip
    run_on_project(config.job(*common, "task=choose", "n_labels=10"))
    asked = (tmp_path / "p.gpussl" / "rounds" / "1" / "to_label.csv").read_text().splitlines()[1:]
    lines = [f"{line.split(',')[0]},{'red' if int(line[:2]) % 2 else 'blue'}" for line in asked]
    (tmp_path / "labels.csv").write_text("\n".join(["id,label", *lines]))
    run_on_project(config.job(*common, "task=label", f"source={tmp_path}/labels.csv"))
    capsys.readouterr()
    run_on_project(config.job(*common, "task=learn"))
    assert "from cache" in next(line for line in capsys.readouterr().err.splitlines() if "embedding" in line)
    model = gpussl.load(tmp_path / "p.gpussl")
    Image.new("RGB", (8, 8), (220, 40, 40)).save(tmp_path / "new.png")
    assert model.predict(tmp_path / "new.png").tolist() == ["red"]


def test_the_network_is_built_once_for_all_points(onnx_file, monkeypatch):
    X = RNG.uniform(size=(300, 192)).astype(np.float32)
    fitted = Embedding(model=str(onnx_file), image_shape=[8, 8, 3]).fit(X, seed=0)
    sessions = []
    session = pretrained._session
    monkeypatch.setattr(pretrained, "_session", lambda *given: sessions.append(1) or session(*given))
    for rows in (X[:100], X[100:200], X[200:]):
        fitted.transform(rows)
    assert len(sessions) == 1
