import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import gymnasium as gym
import pytest

import sb3_mimic  # noqa: F401  # registers the environments

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture
def make_env() -> Iterator:
    """gym.make, with everything closed at the end"""
    opened = []

    def make(env_id: str, **kwargs) -> gym.Env:
        env = gym.make(env_id, **kwargs)
        opened.append(env)
        return env

    yield make
    for env in opened:
        env.close()


@pytest.fixture
def make_endless(make_env):
    """Makes an environment whose episodes never end, and resets it; it can be photographed and shown"""

    def make(env_id: str) -> gym.Env:
        env = make_env(env_id, max_episode_steps=-1, render_mode="rgb_array")
        env.reset(seed=0)
        return env

    return make


@pytest.fixture
def free_opengl():
    """What closed environments hold of OpenGL is freed in whichever context is current then: now, before a test has its own"""
    gc.collect()
    return gc.collect


@pytest.fixture
def run_python():
    """Run python in a process of its own, without a display, and return what it printed"""

    def run(*arguments: str, expect: int = 0, python: str = sys.executable, **kwargs) -> str:
        environment = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")}
        environment |= kwargs.pop("env", {})
        result = subprocess.run([python, *arguments], capture_output=True, text=True, env=environment, timeout=600, **kwargs)
        assert result.returncode == expect, f"{arguments} ended with {result.returncode}:\n{result.stdout}\n{result.stderr}"
        return result.stdout + result.stderr

    return run


@pytest.fixture
def make_model() -> Iterator:
    """Small models on one thread, whose environments are closed at the end"""
    # Torch is for those that ask for it
    from learning import ModelMaker

    make = ModelMaker()
    yield make
    make.close()
