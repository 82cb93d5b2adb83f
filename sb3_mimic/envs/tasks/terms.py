"""Terms of rewards: how they are named and weighted, and how functions of the user's become some."""

import difflib
import importlib
import inspect
import math
from collections.abc import Callable, Collection, Mapping
from numbers import Real
from typing import Any

import numpy as np

from sb3_mimic.errors import EnvArgumentError

Function = Callable[..., Any]
# A number for a term that has a name, or a function, or where to find it, and its weight
Weights = Mapping[str, Any]

# From this part of its range on, either side of the middle, a joint is said to be at its limit
LIMIT = 0.99

REGISTERED: dict[str, Function] = {}


class StepFunction:
    """
    A function of the user's that asks for parts of a step by the names of its parameters.

    :param name: Of the term
    :param function: Its parameters are names of parts, or have defaults of their own. It gets arrays, shape (...,) of one
        step or (batch, ...) of many, and returns one number for each step.
    :param parts: Names of all parts that there are
    :raises EnvArgumentError: When it asks for another part, or for none
    """

    def __init__(self, name: str, function: Function, parts: Collection[str]):
        self.name = name
        self.function = function
        asks = []
        known = f"What it can ask for: {', '.join(parts)}."
        for parameter in inspect.signature(function).parameters.values():
            if parameter.name in parts and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                asks.append(parameter.name)
            elif parameter.default is parameter.empty:
                raise EnvArgumentError(
                    f"The function of reward term '{name}' asks for '{parameter}', which is no part of a step here. {known}"
                )
        if not asks:
            raise EnvArgumentError(f"The function of reward term '{name}' asks for no part of the step. {known}")
        #: Which parts it asks for
        self.asks = tuple(asks)

    def __call__(self, parts: Mapping[str, Any], shape: tuple[int, ...]) -> Any:
        """
        Computes the term.

        :param parts: At least those that it asks for
        :param shape: () for one step, (batch,) for many
        :return: One number for each step: a float, or an array of that shape
        :raises EnvArgumentError: When the function returns something else
        """
        value = np.asarray(self.function(**{name: parts[name] for name in self.asks}))
        if value.shape != shape or not (np.issubdtype(value.dtype, np.number) or value.dtype == np.bool_):
            raise EnvArgumentError(
                f"The function of reward term '{self.name}' must return one number for each step, shape {shape}, got shape"
                f" {value.shape} and type {value.dtype}. Sum or average over the last axis (axis=-1): it is called with one"
                " step and with batches of them."
            )
        return value.astype(np.float64) if shape else float(value)


def registered(name: str, function: Function, taken: Collection[str]) -> None:
    """
    Registers a term.

    :param name: Its name
    :param function: See :class:`StepFunction`
    :param taken: Names of terms of ours
    :raises EnvArgumentError: When the name is empty or taken, or the function is none
    """
    if not isinstance(name, str) or not name:
        raise EnvArgumentError(f"A reward term needs a name, got {name!r}")
    if not callable(function):
        raise EnvArgumentError(f"Reward term '{name}' needs a function, got {function!r}")
    if name in taken or _origin(REGISTERED.get(name, function)) != _origin(function):
        raise EnvArgumentError(f"There is a reward term '{name}' already. Register the function under another name.")
    REGISTERED[name] = function


def _origin(function: Function) -> tuple[Any, Any]:
    """Returns where a function is defined: whoever runs a notebook's cell again means to replace it."""
    return getattr(function, "__module__", None), getattr(function, "__qualname__", function)


def read_weights(weights: Weights, own: Collection[str], parts: Collection[str]) -> tuple[dict[str, float], dict[str, Any]]:
    """
    Reads the weights of a reward, and checks them.

    :param weights: By the name of each term: its weight, or a function (or ``"module:function"``) and its weight
    :param own: Names of the terms of ours
    :param parts: Names of all that a function can ask for
    :return: The weight of each term, and the :class:`StepFunction` of each term that is none of ours
    :raises EnvArgumentError: For an unknown name, a weight that is not finite, a function that cannot be used, or no term
    """
    known = (*own, *REGISTERED)
    numbers: dict[str, float] = {}
    functions: dict[str, StepFunction] = {}
    for name, weight in weights.items():
        if isinstance(weight, tuple | list):
            if len(weight) != 2:
                raise EnvArgumentError(f"Reward term '{name}' must be a weight, or a function and its weight, got {weight}")
            function, weight = _found(name, weight[0]), weight[1]
            if name in own:
                raise EnvArgumentError(f"There is a reward term '{name}' already. Give the function another name.")
            functions[name] = StepFunction(name, function, parts)
        elif name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean '{close[0]}'?" if close else ""
            raise EnvArgumentError(f"Unknown reward term '{name}'. Known terms: {', '.join(known)}.{hint}")
        elif name not in own:
            functions[name] = StepFunction(name, REGISTERED[name], parts)
        if not isinstance(weight, Real) or not math.isfinite(weight):
            raise EnvArgumentError(f"The weight of reward term '{name}' must be a finite number, got {weight!r}")
        numbers[name] = weight  # type: ignore[assignment]
    if not numbers:
        raise EnvArgumentError(f"A reward needs at least one term. Known terms: {', '.join(known)}.")
    return numbers, functions


def _found(name: str, function: Function | str) -> Function:
    """Returns the function, looked up where a text says where it is."""
    if isinstance(function, str):
        module, _, attribute = function.partition(":")
        try:
            function = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError, ValueError) as error:
            raise EnvArgumentError(
                f"The function of reward term '{name}' was not found: {error}. It must read 'module:function', such as"
                f" 'my_package.rewards:near', got '{function}'."
            ) from error
    if not callable(function):
        raise EnvArgumentError(f"Reward term '{name}' needs a function and its weight, got {function!r} as its function")
    return function
