"""Values of other people's objects as plain data, and back: numbers, arrays, random states, and containers of these."""

import copy
import logging
import random
import re
import types
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from enum import Enum
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from gymnasium.envs.registration import EnvSpec

KIND = "__kind__"
#: Objects of these packages are taken down attribute by attribute; of others it is not known where their state is
PACKAGES = frozenset({"gymnasium", "stable_baselines3", "sb3_contrib", "rl_zoo3", "sb3_mimic"})
# What no future depends on: what something was made by, and wall clocks
SETTINGS = frozenset(
    {"spec", "_cached_spec", "_saved_kwargs", "metadata", "_metadata", "render_mode", "_previous_data", "t_start"}
)
SETTINGS |= {"_ezpickle_args", "_ezpickle_kwargs", "results_writer"}
DRAWING = re.compile(r"screen|clock|surf(ace)?$|render|viewer|window|font")
# Numbers that stand for something outside, such as a client of PyBullet's: in another process they stand for something else
HANDLE = re.compile(r"client|handle|socket|(^|_)(pid|fd|port)$")
# Code, types and names: the same in any process
STATIC: tuple[type, ...] = (
    *(type, types.ModuleType, types.FunctionType, types.MethodType, types.BuiltinFunctionType),
    *(np.dtype, np.ufunc, Path, logging.Logger, logging.LoggerAdapter, EnvSpec, re.Pattern, th.dtype, th.device),
)
SIMPLE = (type(None), bool, int, float, str, bytes)


class NotPlainError(Exception):
    """Something cannot be taken down: neither numbers nor made of any."""


class _Static:
    """Stands for what need not be taken down."""


class Recorder:
    """
    Takes values down as plain data. What is met twice is taken down once, so that what is shared stays shared.

    :param packages: Packages whose objects are looked into, beside :data:`PACKAGES`
    :param skip: Asked of each attribute's value whether it is taken down elsewhere
    """

    def __init__(self, packages: Iterable[str] = (), skip: Callable[[Any], bool] = lambda value: False):
        self.packages = PACKAGES.union(packages)
        self.skip = skip
        self.missing: list[str] = []
        self._seen: dict[int, int] = {}
        # An id is that of something else as soon as it is let go
        self._kept: list[Any] = []

    def attributes(self, owner: Any, name: str, but: Iterable[str] = ()) -> dict[str, Any]:
        """
        Takes down an object's attributes.

        :param owner: An object
        :param name: What it is called in :attr:`missing`
        :param but: Names of attributes that are not wanted
        :return: Its attributes by name, as far as they can be taken down; the others are added to :attr:`missing`
        """
        found = {}
        for key, value in getattr(owner, "__dict__", {}).items():
            is_drawing = DRAWING.search(key.lower())
            if key in SETTINGS or key in but or self.skip(value) or (is_drawing and hasattr(value, "__dict__")):
                continue
            if type(value) is int and HANDLE.search(key.lower()):
                self.missing.append(f"{name}.{key} (a handle of something outside)")
                continue
            n_kept, n_missing = len(self._kept), len(self.missing)
            try:
                recorded = self.value(value, f"{name}.{key}")
            except NotPlainError as error:
                self._forget(n_kept)
                del self.missing[n_missing:]
                if not is_drawing:
                    self.missing.append(f"{name}.{key} ({error})")
                continue
            if recorded is not _Static:
                found[key] = recorded
        return found

    def _forget(self, n_kept: int) -> None:
        for each in self._kept[n_kept:]:
            self._seen.pop(id(each), None)
        del self._kept[n_kept:]

    def value(self, value: Any, name: str) -> Any:
        """
        Takes down a value as plain data.

        :param value: Anything
        :param name: What its parts are called in :attr:`missing`
        :return: Nested dicts and lists of numbers, texts and arrays, for :meth:`Restorer.value`
        :raises NotPlainError: When it is something else
        """
        if type(value) in SIMPLE:
            return value
        if isinstance(value, np.generic) and not value.dtype.hasobject:
            return {KIND: "scalar", "value": np.asarray(value)}
        if type(value) in (tuple, frozenset, set):
            return self._container(type(value).__name__, list(value), name)
        if isinstance(value, Enum):
            return {KIND: "enum", "class": type(value).__qualname__, "name": value.name}
        if isinstance(value, STATIC):
            return _Static
        if id(value) in self._seen:
            return {KIND: "same", "number": self._seen[id(value)]}
        self._seen[id(value)] = number = len(self._kept)
        self._kept.append(value)
        recorded = self._shared(value, name)
        if recorded is _Static:
            del self._seen[id(value)]
            return recorded
        return {**recorded, "id": number}

    def _shared(self, value: Any, name: str) -> Any:
        if type(value) is np.ndarray and not value.dtype.hasobject:
            return {KIND: "array", "value": value}
        if type(value) is th.Tensor:
            return {KIND: "tensor", "value": value.detach().cpu().numpy()}
        if type(value) is deque:
            recorded = self._container("deque", list(value), name)
            return recorded if recorded is _Static else {**recorded, "maxlen": value.maxlen}
        if type(value) is list:
            return self._container("list", value, name)
        if type(value) in (dict, OrderedDict, defaultdict):
            recorded = self._container(type(value).__name__, list(value.values()), name)
            return recorded if recorded is _Static else {**recorded, "keys": [self.value(key, name) for key in value]}
        if isinstance(value, np.random.Generator):
            return {KIND: "generator", "state": value.bit_generator.state}
        if isinstance(value, np.random.RandomState):
            return {KIND: "random_state", "state": value.get_state(legacy=False)}
        if isinstance(value, random.Random):
            return {KIND: "random", "state": value.getstate()}
        if isinstance(value, gym.Space):
            return {KIND: "space", "state": [_random_state(each) for each in _spaces_in(value)]}
        package = type(value).__module__.partition(".")[0]
        if isinstance(value, th.nn.Module) or package not in self.packages or not hasattr(value, "__dict__"):
            raise NotPlainError(f"an object of {type(value).__module__}.{type(value).__qualname__}")
        return {KIND: "object", "class": type(value).__qualname__, "attributes": self.attributes(value, name)}

    def _container(self, kind: str, items: list[Any], name: str) -> Any:
        recorded = [self.value(item, name) for item in items]
        n_static = sum(item is _Static for item in recorded)
        if n_static and n_static == len(items):
            return _Static
        if n_static:
            raise NotPlainError(f"a {kind} with code in it")
        return {KIND: kind, "items": recorded}


class Restorer:
    """Makes values out of what a :class:`Recorder` took down. What was shared is shared again."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._made: dict[int, Any] = {}
        self._set_in_place: dict[int, Any] = {}

    def attributes(self, owner: Any, saved: dict[str, Any], name: str, but: Iterable[str] = ()) -> None:
        """
        Gives an object the attributes that were taken down.

        :param owner: An object like the one that was taken down
        :param saved: What :meth:`Recorder.attributes` gave
        :param name: What it is called in :attr:`problems`
        :param but: Names of attributes that are left as they are
        """
        for key, recorded in saved.items():
            if key in but:
                continue
            try:
                vars(owner)[key] = self.value(recorded, vars(owner).get(key))
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                self.problems.append(f"{name}.{key} ({error!r})")

    def value(self, recorded: Any, present: Any = None) -> Any:
        """
        Makes a value of what was taken down.

        :param recorded: What :meth:`Recorder.value` gave
        :param present: What is there now; random states and objects are set in place
        :return: The value
        :raises TypeError: When another object is there now
        """
        if not isinstance(recorded, dict):
            return recorded
        kind = recorded[KIND]
        if kind == "same":
            return self._made[recorded["number"]]
        if kind == "scalar":
            return recorded["value"][()]
        if kind == "enum":
            return type(_of_class(present, recorded["class"]))[recorded["name"]]
        if kind in ("tuple", "set", "frozenset"):
            before = list(present) if isinstance(present, tuple) else []
            items = [self.value(item, before[i] if i < len(before) else None) for i, item in enumerate(recorded["items"])]
            return {"tuple": tuple, "set": set, "frozenset": frozenset}[kind](items)
        made = self._empty(kind, recorded, present)
        # Before it is filled: it may hold itself
        self._made[recorded["id"]] = made
        self._fill(made, kind, recorded, present)
        return made

    def _empty(self, kind: str, recorded: dict[str, Any], present: Any) -> Any:
        if kind == "array":
            return recorded["value"]
        if kind == "tensor":
            device = present.device if isinstance(present, th.Tensor) else "cpu"
            return th.from_numpy(np.array(recorded["value"])).to(device)
        if kind == "list":
            return []
        if kind == "deque":
            return deque(maxlen=recorded["maxlen"])
        if kind in ("dict", "OrderedDict"):
            return {} if kind == "dict" else OrderedDict()
        if kind == "defaultdict":
            return defaultdict(_of_class(present, kind).default_factory)
        if kind == "generator" and present is None:
            return np.random.Generator(getattr(np.random, recorded["state"]["bit_generator"])())
        if kind == "object":
            return self._object(_of_class(present, recorded["class"]))
        return present

    def _object(self, present: Any) -> Any:
        if getattr(getattr(present, "__dataclass_params__", None), "frozen", False):
            # A value, which others may have too
            return copy.copy(present)
        if id(present) in self._set_in_place:
            raise TypeError("it is shared in another way than before")
        self._set_in_place[id(present)] = present
        return present

    def _fill(self, made: Any, kind: str, recorded: dict[str, Any], present: Any) -> None:
        if kind in ("list", "deque"):
            before = list(present) if isinstance(present, (list, deque)) else []
            for i, item in enumerate(recorded["items"]):
                made.append(self.value(item, before[i] if i < len(before) else None))
        elif kind in ("dict", "OrderedDict", "defaultdict"):
            before_by_key = present if isinstance(present, dict) else {}
            keys = [self.value(key) for key in recorded["keys"]]
            for key, item in zip(keys, recorded["items"], strict=True):
                made[key] = self.value(item, before_by_key.get(key))
        elif kind == "generator":
            made.bit_generator.state = recorded["state"]
        elif kind == "random_state":
            made.set_state(recorded["state"])
        elif kind == "random":
            version, numbers, gauss = recorded["state"]
            made.setstate((version, tuple(numbers), gauss))
        elif kind == "space":
            for space, state in zip(_spaces_in(made), recorded["state"], strict=True):
                _set_random_state(space, state)
        elif kind == "object":
            self.attributes(made, recorded["attributes"], type(made).__name__)


def _of_class(present: Any, name: str) -> Any:
    if type(present).__qualname__ != name:
        raise TypeError(f"there is a {type(present).__qualname__} in place of a {name}")
    return present


def _spaces_in(space: gym.Space[Any]) -> list[gym.Space[Any]]:
    inner = getattr(space, "spaces", ())
    inner = inner.values() if isinstance(inner, dict) else inner
    return [space, *(deeper for each in inner for deeper in _spaces_in(each))]


def _random_state(space: gym.Space[Any]) -> Any:
    return None if space._np_random is None else space._np_random.bit_generator.state


def _set_random_state(space: gym.Space[Any], state: Any) -> None:
    if state is not None:
        space.np_random.bit_generator.state = state
