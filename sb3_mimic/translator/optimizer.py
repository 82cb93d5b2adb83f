"""Converts an Adam optimiser's state to named tensors, which a state dict may hold, and back."""

import torch as th
from torch import nn

# What Adam keeps for each parameter
_KEPT = ("step", "exp_avg", "exp_avg_sq")


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
    }


def adam_from_tensors(optimizer: th.optim.Adam, module: nn.Module, tensors: dict[str, th.Tensor]) -> list[str]:
    """
    Gives a fresh optimiser the state of another one.

    :param optimizer: Optimiser of the module's parameters
    :param module: The module, which gives them names
    :param tensors: What :func:`adam_to_tensors` gave
    :return: Names of tensors that are missing, unknown, or of another shape; nothing is changed where there are any
    """
    expected = {f"{kept}.{name}": (kept, p) for name, p in module.named_parameters() for kept in _KEPT}
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
