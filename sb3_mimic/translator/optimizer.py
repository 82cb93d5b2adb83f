"""The optimiser of translators, and how its state becomes named tensors, which a state dict may hold."""

from collections.abc import Callable, Iterable
from typing import Any

import torch as th
from torch import nn

# What is kept for each parameter; of those that are made orthogonal the squares are not needed
_KEPT = ("step", "exp_avg", "exp_avg_sq")
_SQUARES = _KEPT[-1]
# Weights are made orthogonal where they have so many rows and columns: those of first and last layers are Adam's
HIDDEN_SIZE = 32
# With batches of this size their steps are so many times longer than Adam's learning rate; of fewer pictures gradients are
# noisier, which steps of one length would not show. How much of the averaged gradient is kept
STEP_LENGTH, STEP_BATCH_SIZE, MOMENTUM = 5.0, 256, 0.95
# Of Newton and Schulz's iteration for the orthogonal matrix next to one: coefficients that begin fast, and how often
NEWTON_SCHULZ, N_ITERATIONS = (3.4445, -4.7750, 2.0315), 5


class Muon(th.optim.Adam):
    """
    Takes steps along the weights of hidden layers that change all directions of what comes in alike: each step is the
    orthogonal matrix next to the averaged gradient (Muon: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/;
    Liu et al., arXiv 2502.16982). All other parameters are Adam's.

    :param parameters: To be optimised
    :param lr: Learning rate
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float = 1e-3):
        # Fused: the plain one loops over parameters in Python
        super().__init__(parameters, lr=lr, fused=True)
        self._length = STEP_LENGTH

    def set_rates(self, learning_rate: float, batch_size: int) -> None:
        """
        Sets how long the next steps are.

        :param learning_rate: Of Adam
        :param batch_size: Number of pictures that gradients are of: steps are longer with the root of it
        """
        for group in self.param_groups:
            group["lr"] = learning_rate
        self._length = STEP_LENGTH * min(batch_size / STEP_BATCH_SIZE, 1.0) ** 0.5

    @th.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Takes a step; the gradients of hidden weights are used up by it."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and is_hidden(parameter):
                    self._turn(parameter, group["lr"])
                    parameter.grad = None
        return super().step(closure)

    def _turn(self, weight: nn.Parameter, learning_rate: float) -> None:
        state, gradient = self.state[weight], weight.grad
        assert gradient is not None
        if not state:
            state["step"] = th.zeros((), dtype=th.float32)
            state["exp_avg"] = th.zeros_like(weight, memory_format=th.preserve_format)
        state["step"] += 1
        average = state["exp_avg"].lerp_(gradient, 1 - MOMENTUM)
        # A step ahead, as Nesterov takes it
        direction = orthogonal(gradient.lerp(average, MOMENTUM).flatten(1)).view(weight.shape)
        rows, columns = len(weight), weight[0].numel()
        weight.sub_(direction, alpha=self._length * learning_rate * max(1.0, rows / columns) ** 0.5)


def is_hidden(parameter: th.Tensor) -> bool:
    """Whether a parameter is the weight of a hidden layer."""
    return parameter.ndim >= 2 and min(len(parameter), parameter[0].numel()) >= HIDDEN_SIZE


def orthogonal(matrix: th.Tensor) -> th.Tensor:
    """
    Finds about the orthogonal matrix that is next to one: its singular values become about 1, in [0.7, 1.2].

    :param matrix: Shape (rows, columns)
    :return: Shape (rows, columns)
    """
    is_tall = len(matrix) > matrix.shape[1]
    x = matrix.T if is_tall else matrix
    x = x / (x.norm() + 1e-7)
    a, b, c = NEWTON_SCHULZ
    for _ in range(N_ITERATIONS):
        square = x @ x.T
        x = th.addmm(x, th.addmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x.T if is_tall else x


def adam_to_tensors(optimizer: th.optim.Adam, module: nn.Module) -> dict[str, th.Tensor]:
    """
    Converts an optimiser's state to named tensors.

    :param optimizer: Optimiser of the module's parameters
    :param module: The module, which gives them names
    :return: Step and averages of every parameter that has been trained, as ``exp_avg.<name of the parameter>``
    """
    return {
        f"{kept}.{name}": optimizer.state[parameter][kept]
        for name, parameter in module.named_parameters()
        if parameter in optimizer.state
        for kept in _KEPT
        if kept in optimizer.state[parameter]
    }


def adam_from_tensors(optimizer: th.optim.Adam, module: nn.Module, tensors: dict[str, th.Tensor]) -> list[str]:
    """
    Gives a fresh optimiser the state of another one.

    :param optimizer: Optimiser of the module's parameters
    :param module: The module, which gives them names
    :param tensors: What :func:`adam_to_tensors` gave
    :return: Names of tensors that are missing, unknown, or of another shape; nothing is changed where there are any
    """
    every = {f"{kept}.{name}": (kept, p) for name, p in module.named_parameters() for kept in _KEPT}
    # Those of before hold squares of every parameter
    unused = {name for name, (kept, p) in every.items() if kept == _SQUARES and is_hidden(p)}
    expected = {name: place for name, place in every.items() if name not in unused}
    tensors = {name: value for name, value in tensors.items() if name not in unused}
    trained = {name.partition(".")[2] for name in tensors}
    wrong = [name for name in tensors if name not in expected]
    wrong += [name for name in expected if name.partition(".")[2] in trained and name not in tensors]
    for name in set(tensors) & set(expected):
        kept, parameter = expected[name]
        if tensors[name].shape != (th.Size() if kept == "step" else parameter.shape):
            wrong.append(name)
    if not wrong:
        for name, value in tensors.items():
            kept, parameter = expected[name]
            optimizer.state[parameter][kept] = value.detach().clone().to(parameter.device)
    return sorted(wrong)


def named_states(states: dict[int, dict[str, th.Tensor]], module: nn.Module) -> dict[str, th.Tensor]:
    """
    Names the states of an optimiser as torch gives them, by the number of the parameter. Parameters that came later are
    the last ones, and have none.

    :param states: State of each parameter, by its number
    :param module: The module whose parameters they belong to
    :return: As :func:`adam_to_tensors` gives them
    """
    names = dict(enumerate(name for name, _ in module.named_parameters()))
    return {
        f"{kept}.{names.get(number, number)}": th.as_tensor(state[kept]) for number, state in states.items() for kept in _KEPT
    }
