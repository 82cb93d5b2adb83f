"""Defines a convolutional LSTM, in the shape of torch's LSTM."""

import torch as th
from torch import nn

State = tuple[th.Tensor, th.Tensor]

N_GATES = 4


class ConvLSTM(nn.Module):
    """
    A convolutional LSTM (Shi et al., arXiv 1506.04214, without its peepholes): torch's ``LSTM`` with maps in place of vectors,
    and convolutions in place of products with matrices. Gradients go through time, and through a state that is given.

    :param input_size: Channels of the input
    :param hidden_size: Channels of the state and of the output
    :param kernel_size: Size of the kernels from input to state and from state to state, odd
    :param num_layers: How many lie on each other
    :param batch_first: Whether the batch comes before the time, as in torch's ``LSTM``
    :raises ValueError: When a size is below 1, or the kernel's is even
    """

    def __init__(
        self, input_size: int, hidden_size: int, kernel_size: int = 3, num_layers: int = 1, batch_first: bool = False
    ):
        super().__init__()
        sizes = {"input_size": input_size, "hidden_size": hidden_size, "kernel_size": kernel_size, "num_layers": num_layers}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, so that maps keep their size, got {kernel_size}")
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.batch_first = batch_first
        inputs = [input_size] + [hidden_size] * (num_layers - 1)
        n_gates, padding = N_GATES * hidden_size, kernel_size // 2
        self.input_to_state = nn.ModuleList(nn.Conv2d(size, n_gates, kernel_size, padding=padding) for size in inputs)
        self.state_to_state = nn.ModuleList(
            nn.Conv2d(hidden_size, n_gates, kernel_size, padding=padding, bias=False) for _ in inputs
        )
        for layer in self.input_to_state:
            # Remembers at first (Jozefowicz et al., 2015): the second quarter are the forget gates
            bias: th.Tensor = layer.bias  # type: ignore[assignment]
            nn.init.zeros_(bias)
            nn.init.ones_(bias[hidden_size : 2 * hidden_size])

    def forward(self, input: th.Tensor, hx: State | None = None) -> tuple[th.Tensor, State]:
        """
        Goes through maps that follow one another.

        :param input: Shape (time, batch, input_size, height, width), or (batch, time, ...) where the batch comes first
        :param hx: Hidden state and cell state before, each of shape (num_layers, batch, hidden_size, height, width); zeros by
            default
        :return: The last layer's hidden states, shaped as the input with hidden_size channels, and both states at the end
        """
        maps = input if self.batch_first else input.transpose(0, 1)
        n_batch, n_steps, _, *size = maps.shape
        if hx is None:
            zeros = maps.new_zeros(self.num_layers, n_batch, self.hidden_size, *size)
            hx = zeros, zeros
        hidden_states, cells = [], []
        for index, (to_state, between) in enumerate(zip(self.input_to_state, self.state_to_state, strict=True)):
            # What does not wait for the state, for all steps at once
            gates = to_state(maps.flatten(0, 1)).unflatten(0, (n_batch, n_steps))
            maps, hidden, cell = _through_time(gates, between, hx[0][index], hx[1][index])
            hidden_states.append(hidden)
            cells.append(cell)
        output = maps if self.batch_first else maps.transpose(0, 1)
        return output, (th.stack(hidden_states), th.stack(cells))


def _through_time(
    gates: th.Tensor, between: nn.Module, hidden: th.Tensor, cell: th.Tensor
) -> tuple[th.Tensor, th.Tensor, th.Tensor]:
    """
    Goes through time.

    :param gates: What the input does to them, shape (batch, time, 4 * hidden_size, height, width)
    :param between: From the hidden state to what it does to them
    :param hidden: Shape (batch, hidden_size, height, width)
    :param cell: The same
    :return: Hidden states, shape (batch, time, hidden_size, height, width), and the last hidden and cell state
    """
    outputs: list[th.Tensor] = []
    for step in gates.unbind(1):
        i, f, g, o = (step + between(hidden)).chunk(N_GATES, dim=1)
        cell = th.sigmoid(f) * cell + th.sigmoid(i) * th.tanh(g)
        hidden = th.sigmoid(o) * th.tanh(cell)
        outputs.append(hidden)
    return th.stack(outputs, dim=1), hidden, cell
