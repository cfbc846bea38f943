"""The network of the Fashion-MNIST study."""

import numpy as np
import pytest
import torch

from gpussl.errors import ConfigError
from gpussl.studies.study_convnet import StudyConvNet
from tests.digits import IMAGES as DIGITS
from tests.digits import NAMES


class TestStudyConvNet:
    def test_has_the_published_layers(self):
        network = StudyConvNet().build(784, 10)
        convolutions = [layer for layer in network if isinstance(layer, torch.nn.Conv2d)]
        assert [(c.in_channels, c.out_channels, c.kernel_size[0]) for c in convolutions] == [
            (1, 32, 3), (32, 64, 3), (64, 128, 3), (128, 1, 1),
        ]  # fmt: skip
        dense = [layer for layer in network if isinstance(layer, torch.nn.Linear)]
        assert [(layer.in_features, layer.out_features) for layer in dense] == [(784, 64), (64, 10)]
        assert network(torch.zeros(2, 784)).shape == (2, 10)
        assert network(torch.zeros(2, 784)).dtype == torch.float32

    def test_learns_the_digits(self):
        model = StudyConvNet(channels=[8, 16], max_epochs=12, learning_rate=3e-3).fit(DIGITS[:1300], NAMES[:1300])
        assert np.mean(model.predict(DIGITS[1300:]) == NAMES[1300:]) > 0.8

    def test_the_last_tenth_is_held_out(self):
        train, held_out = StudyConvNet().split(np.zeros(50), np.zeros(50))
        assert (train.tolist(), held_out.tolist()) == (list(range(45)), list(range(45, 50)))
        assert [len(side) for side in StudyConvNet().split(np.zeros(3), np.zeros(3))] == [2, 1]

    def test_images_must_be_square(self):
        with pytest.raises(ConfigError, match="expected the pixels of images as features, found 50 features"):
            StudyConvNet().build(50, 10)
