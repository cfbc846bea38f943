"""What networks share: averages of weights, steps as graphs, blocks."""

import copy
import gc
import types

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from gpussl.nets import tensors
from gpussl.nets.tensors import Captured, RunningAverage


def small_network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, 3))


def test_the_running_average_is_pytorchs_with_a_decay_that_rises():
    learner = small_network().train()
    average, expected = RunningAverage(learner, 0.8), AveragedModel(learner, use_buffers=True)
    for step in range(1, 60):
        with torch.no_grad():
            learner(torch.randn(9, 5))  # moves the buffers
            for weight in learner.parameters():
                weight += torch.randn_like(weight)
        average.update()
        expected.multi_avg_fn = get_ema_multi_avg_fn(min(0.8, (1 + step) / (10 + step)))
        expected.update_parameters(learner)
    for name, value in expected.module.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(average.module.state_dict()[name], value, rtol=0, atol=0)


class FakeGraphs:
    """CUDA's streams and graphs on a CPU: what is captured is done again at each replay."""

    def __init__(self, monkeypatch):
        self.settings, self.was_collecting, self.recorded = None, None, []
        stream = types.SimpleNamespace(wait_stream=lambda other: None)
        context = lambda *_: self  # noqa: E731
        for name, value in {
            "Stream": lambda: stream, "current_stream": lambda: stream, "stream": context, "CUDAGraph": lambda: self,
            "graph": self.capture,
        }.items():  # fmt: skip
            monkeypatch.setattr(torch.cuda, name, value)

    def capture(self, graph, **settings):
        self.settings, self.was_collecting = settings, gc.isenabled()
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def replay(self):
        self.recorded.append("replay")


class CudaTensor(torch.Tensor):
    is_cuda = True


def test_a_step_is_captured_once_for_each_shape_and_leaves_the_network_as_it_was(monkeypatch):
    graphs, network = FakeGraphs(monkeypatch), small_network().train()
    mean_before, means, seen = network[1].running_mean.clone(), [], []

    def work(batch, factor):
        seen.append(batch)
        means.append(network[1].running_mean.clone())
        return network(batch) * factor  # moves the buffers

    step, one = Captured(work, network), torch.ones(1)
    first, second, other = (torch.randn(n, 5).as_subclass(CudaTensor) for n in (9, 9, 4))
    answer = step(first, one)
    assert len(seen) == tensors.WARM_UPS + 1
    assert torch.equal(means[-1], mean_before)  # when the graph was captured
    assert not torch.equal(means[1], mean_before)
    assert graphs.settings == {"capture_error_mode": "thread_local"}  # another thread may ask for memory meanwhile
    assert (graphs.was_collecting, gc.isenabled()) == (False, True)
    assert step(second, one) is answer  # which the graph overwrites
    torch.testing.assert_close(seen[-1].as_subclass(torch.Tensor), second.as_subclass(torch.Tensor))  # read from there
    assert step(other, one) is not answer
    assert graphs.recorded == ["replay"] * 3
    assert len(seen) == 2 * (tensors.WARM_UPS + 1)


def test_what_fails_while_it_is_captured_leaves_garbage_to_be_collected(monkeypatch):
    FakeGraphs(monkeypatch)

    def work(batch):
        if not gc.isenabled():
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        Captured(work, small_network())(torch.zeros(3, 5).as_subclass(CudaTensor))
    assert gc.isenabled()


def test_on_a_cpu_a_step_is_what_it_is():
    assert Captured(lambda batch: batch + 1, small_network())(torch.zeros(3)).tolist() == [1, 1, 1]


@pytest.mark.gpu
def test_a_captured_step_finds_the_slopes_of_batches_of_each_size():
    network = small_network().cuda().train()
    for weight in network.parameters():
        weight.grad = torch.zeros_like(weight)

    def find_slopes(batch):
        for weight in network.parameters():
            weight.grad.zero_()
        network(batch).square().mean().backward()

    step = Captured(find_slopes, network)
    for n in (9, 4, 9, 6, 4):
        batch = torch.randn(n, 5, device="cuda")
        plain = copy.deepcopy(network)
        plain.zero_grad(set_to_none=True)
        plain(batch).square().mean().backward()
        step(batch)
        for found, expected in zip(network.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(found.grad, expected.grad)
        torch.testing.assert_close(network[1].running_mean, plain[1].running_mean)
