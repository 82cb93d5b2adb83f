"""Trains the policy's translator during reinforcement learning, on the frames of each rollout."""

import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from stable_baselines3.common.buffers import DictReplayBuffer, DictRolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Image

from sb3_mimic.data.dataset import Dataset
from sb3_mimic.data.frame_source import FrameSource, ObservedFrames, ReplayFrames, RolloutFrames
from sb3_mimic.data.memory import Memory
from sb3_mimic.errors import InputError, ObservationSpaceError
from sb3_mimic.extractors.translated import PoseReadingExtractor
from sb3_mimic.pose import PoseLayout
from sb3_mimic.translator.augmentation import Augmentation
from sb3_mimic.translator.background import Learning, draws_random_numbers
from sb3_mimic.translator.base import Translator
from sb3_mimic.translator.labels import Labels, check_size
from sb3_mimic.translator.lesson import Lesson, measured
from sb3_mimic.translator.rollout_pictures import make_room_for_pictures, read_again, replace_pictures
from sb3_mimic.translator.training import FLOOR, default_n_threads, fit, n_processors, one_cycle, torch_threads

# Attributes by which an environment says what its labels mean: of a pose, and of a pose and where the camera is
LAYOUTS = ("pose_layout", "view_layout")


class TranslatorCallback(BaseCallback):
    """
    Measures the translator on new frames, adds those that differ to a memory of earlier ones, trains on a sample of it,
    and logs both. With an on-policy algorithm at the end of every rollout, before the policy trains on it: then it also
    frees the pictures in the rollout buffer, and puts what the policy read in them in their place. With an off-policy
    algorithm every ``train_freq`` steps, on the newest frames in the replay buffer.

    Where the policy does not act on what the translator reads, a copy learns in a thread, while the robot collects the next
    frames and the policy is trained: what is measured stands in the log one training later. Nothing else changes by it.

    The policy says which vector is to be read in which picture: ``policy_kwargs=dict(labels={picture: vector})``.

    :param frames_per_step: Frames to train on for each step of the environment
    :param batch_size: Frames per update
    :param learning_rate: The largest of the one-cycle schedule
    :param cycle: Part of the training over which that cycle goes; afterwards the rate stays at 2 % of the largest.
        Below 1, the translator reads well early, for a policy that acts on what it reads.
    :param min_change: How far a joint (in scaled units) or a key point (in m) must have moved since the last frame for one
        to be remembered. The larger it is, the more the memory holds of the evenly drawn poses: starts of episodes, and
        targets. Windows of more than one frame are all remembered: standing still counts as motion, too
    :param memory_size: Frames to remember; 64x64 pixels take 12 KiB each
    :param n_validation: Frames to measure with
    :param picture_freq: Trainings of the translator between two logged pictures; 0 for none
    :param n_threads: Threads for torch meanwhile; half as many as processors by default
    :param window: Frames that follow one another in what a translator with memory trains on; 1 for one without
    :param train_freq: Steps of all environments between two trainings, with an off-policy algorithm
    :param augmentation: Changes the pictures that are learnt from, so that others are read too: settings of
        :class:`~sb3_mimic.translator.augmentation.Augmentation` by name, or True for its own; None for none
    :param background: Whether to learn in a thread; by default where there are two processors and the policy does not act on
        what the translator reads
    :param verbose: Verbosity
    :raises InputError: When a setting of the augmentation is unknown or not allowed
    """

    def __init__(
        self,
        frames_per_step: float = 0.75,
        batch_size: int = 64,
        learning_rate: float = 3e-3,
        cycle: float = 1.0,
        min_change: float = 0.05,
        memory_size: int = 16_384,
        n_validation: int = 256,
        picture_freq: int = 20,
        n_threads: int | None = None,
        window: int = 1,
        train_freq: int = 2048,
        augmentation: bool | Mapping[str, Any] | None = None,
        background: bool | None = None,
        verbose: int = 0,
    ):
        super().__init__(verbose)
        counts = {
            "batch_size": batch_size,
            "memory_size": memory_size,
            "n_validation": n_validation,
            "window": window,
            "train_freq": train_freq,
        }
        for name, value in counts.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        for name in ("batch_size", "memory_size", "n_validation"):
            if counts[name] < window:
                raise ValueError(f"{name} must hold a window of {window} frames, got {counts[name]}")
        for name, rate in {
            "frames_per_step": frames_per_step,
            "learning_rate": learning_rate,
            "min_change": min_change,
        }.items():
            if not 0 < rate < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {rate}")
        if not 0 < cycle <= 1:
            raise ValueError(f"cycle must be a part of the training, above 0 and at most 1, got {cycle}")
        self.frames_per_step = frames_per_step
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.cycle = cycle
        self.min_change = min_change
        self.n_validation = n_validation
        self.picture_freq = picture_freq
        self.n_threads = n_threads or default_n_threads()
        self.window = window
        self.train_freq = train_freq
        self.augmentation = Augmentation.from_settings(augmentation)
        self.background = background
        self.memory = Memory(memory_size // window)
        self._learning: Learning[Translator, Lesson] | None = None
        self.n_rollouts = 0
        self._is_restored = self._draws_next = self._has_warned = False

    def _init_callback(self) -> None:
        policy = self.model.policy
        translator = getattr(policy, "translator", None)
        if not isinstance(translator, Translator):
            raise ObservationSpaceError(
                f"TranslatorCallback needs a policy with a translator, and {type(policy).__name__} has none."
                " Use a policy of sb3_mimic.policies and an environment id with pictures, or leave the callback out."
            )
        translator.finish_learning()
        self.translator = translator
        self._in_background = self._may_learn_in_background()
        self.rollout_buffer = getattr(self.model, "rollout_buffer", None)
        self.replay_buffer = getattr(self.model, "replay_buffer", None)
        buffer = self.replay_buffer if self.rollout_buffer is None else self.rollout_buffer
        if not isinstance(buffer, DictRolloutBuffer | DictReplayBuffer):
            raise ObservationSpaceError(
                "TranslatorCallback trains on the frames in a rollout buffer or a replay buffer of Dict observations, and"
                f" {type(self.model).__name__} has {type(buffer).__name__}. Leave the callback out."
            )
        n_steps = buffer.buffer_size if self.rollout_buffer is not None else self.train_freq // buffer.n_envs
        if not self.window <= min(n_steps, buffer.buffer_size):
            raise ValueError(
                f"A window of {self.window} frames does not fit {n_steps} steps between two trainings of the translator"
                f" and a buffer of {buffer.buffer_size}: lower window, or raise n_steps, train_freq or buffer_size"
            )
        # A generator of its own: PPO's random numbers are the same with and without this callback
        self.rng = np.random.default_rng(self.model.seed)
        self.read_labels: dict[str, str] = dict(policy.labels)  # type: ignore[arg-type]
        self.labels = Labels(self.training_env, self.read_labels.values())
        self.source = self._make_source()
        venv = self.training_env
        layouts = [venv.get_attr(name, indices=0)[0] for name in LAYOUTS if venv.has_attr(name)]
        self.layouts = [layout for layout in layouts if isinstance(layout, PoseLayout)]
        self._can_draw = venv.has_attr("draw_poses")
        renderer = venv.get_attr("renderer", indices=0)[0] if venv.has_attr("renderer") else None
        # Another's environment may call something else so
        translator.renderer = renderer if isinstance(renderer, str) else None

    def _may_learn_in_background(self) -> bool:
        policy = self.model.policy
        reasons = {
            f"{type(policy).__name__} acts on what the translator reads": any(
                isinstance(module, PoseReadingExtractor) for module in policy.modules()
            ),
            f"{type(self.translator).__name__} draws random numbers, in an order that would be left to chance": (
                draws_random_numbers(self.translator)
            ),
        }
        held_up = [reason for reason, is_so in reasons.items() if is_so]
        if self.background and held_up:
            raise InputError(f"background=True is not allowed: {held_up[0]}. Leave background out, or give false.")
        return not held_up and (n_processors() > 1 if self.background is None else self.background)

    def _make_source(self) -> FrameSource:
        how = (self.read_labels, self.translator.n_channels, self.translator.state_dim)
        if self.rollout_buffer is not None:
            return RolloutFrames(self.rollout_buffer, *how)
        assert self.replay_buffer is not None
        holds_pictures = set(self.read_labels) <= set(self.replay_buffer.observations)
        return (ReplayFrames if holds_pictures else ObservedFrames)(self.replay_buffer, *how)

    def run_state(self) -> dict[str, Any]:
        """Returns all that the callback's future depends on, as plain numbers and arrays."""
        self._finish()
        return {
            "memory": self.memory.run_state(),
            "random": self.rng.bit_generator.state,
            "n_rollouts": self.n_rollouts,
            "labels": {"present": self.labels.present, "episode_starts": self.labels.episode_starts},
            "source": self.source.run_state(),
        }

    def restore_run_state(self, state: dict[str, Any]) -> None:
        """
        Restores the state of another run's callback.

        :param state: What :meth:`run_state` gave
        """
        self._finish()
        self.memory.restore_run_state(state["memory"])
        self.rng.bit_generator.state = state["random"]
        self.n_rollouts = state["n_rollouts"]
        # Older runs have neither; the environments tell the present state
        if "labels" in state:
            self.labels.present = dict(state["labels"]["present"])
            self.labels.episode_starts = state["labels"]["episode_starts"]
            self.source.restore_run_state(state["source"])
            self._is_restored = True

    def _on_training_start(self) -> None:
        if not self._is_restored:
            self.labels.begin(self.model._last_obs, self.locals.get("reset_num_timesteps", True))  # type: ignore[arg-type]
        self._is_restored = False
        # The first numbers of a vector whose parts are not known: only where they are asked for
        asked_for = getattr(self.model.policy, "translator_kwargs", {}).get("state_dim")
        for key, vector in self.labels.present.items():
            size = vector.shape[-1]
            check_size(key, size, self._layout_of(size), self.translator.state_dim, asked_for)

    def _layout_of(self, size: int) -> PoseLayout | None:
        """Returns the layout of a vector of this size, where the environment gives it, or None."""
        return next((layout for layout in self.layouts if layout.dim == size), None)

    def _on_rollout_start(self) -> None:
        if self.rollout_buffer is not None:
            make_room_for_pictures(self.rollout_buffer)
            self.source = self._make_source()

    def _on_step(self) -> bool:
        # What the buffer stores after this step is the observation that was acted on
        self.source.add(self.labels.present, self.labels.episode_starts, self.model._last_obs)  # type: ignore[arg-type]
        self.labels.step(self.locals["new_obs"], self.locals["infos"], self.locals["dones"])
        return True

    def _on_rollout_end(self) -> None:
        if self.rollout_buffer is not None:
            # Before the translator changes: PPO is to train on what was read when the actions were chosen
            read = read_again(self.model.policy, self.rollout_buffer, self.n_threads)
            self._train()
            replace_pictures(self.model.policy, self.rollout_buffer, read)
        elif self.source.n_new >= self.train_freq:
            self._train()

    def _train(self) -> None:
        self._finish()
        n_frames = round(self.frames_per_step * self.source.n_new)
        windows = self.source.take(self.window, self.min_change)
        self._check_that_pictures_vary(windows)
        progress = self.num_timesteps / self.model._total_timesteps
        learning_rate = self.learning_rate * max(one_cycle(progress / self.cycle), FLOOR if self.cycle < 1 else 0.0)
        size = next(iter(self.labels.present.values())).shape[-1]
        layout = self._layout_of(size)

        def learn(translator: Translator) -> Lesson:
            # In a thread nothing of this callback is used meanwhile but the memory and the random numbers
            with torch_threads(self.n_threads):
                lesson = self._measure(translator, windows, layout)
                self.memory.add(windows, self.rng)
                sample = self.memory.sample(max(1, n_frames // self.window), self.rng)
                batch_size = self.batch_size // self.window
                loss = fit(translator, sample, 1, batch_size, learning_rate, self.rng, self.augmentation)
            lesson.measures |= {"loss": loss, "learning_rate": learning_rate}
            return lesson

        is_due = self._can_draw and self.picture_freq > 0 and self.n_rollouts % self.picture_freq == 0
        self._draws_next = is_due and layout is not None and self.translator.state_dim == size
        self.n_rollouts += 1
        if self._in_background:
            self._learning = self.translator.begin_learning(learn)
        else:
            self._record(learn(self.translator))

    def _check_that_pictures_vary(self, windows: Dataset) -> None:
        """Warns, once, of a camera that stands still: a lost OpenGL context draws all black, and raises nothing."""
        first = windows.images[:1, :1]
        # The last first: nearly always it differs, and saves comparing all
        varies = (windows.images[-1] != first[0]).any() or (windows.images != first).any()
        if not varies and (windows.states != windows.states[:1, :1]).any() and not self._has_warned:
            self._has_warned = True
            warnings.warn(
                f"All {len(windows)} pictures under {', '.join(map(repr, self.read_labels))} since the translator's last"
                f" training are the same{', of one colour' if first.min() == first.max() else ''}, while what is to be read"
                " in them changed: nothing can be learnt from them. See what the environment's render() gives. Renderers"
                " with OpenGL can harm each other in one process: SubprocVecEnv (--vec-env subproc) gives each its own.",
                stacklevel=2,
            )

    def _finish(self) -> None:
        """Waits for what learns in a thread, and logs what became known."""
        if self._learning is not None:
            self.translator.finish_learning()
            # Whoever needed the translator before may have passed over an error
            lesson = self._learning.result()
            self._learning = None
            self._record(lesson)

    def _record(self, lesson: Lesson) -> None:
        for name, value in lesson.measures.items():
            self.logger.record(f"translator/{name}", value)
        if self._draws_next:
            drawn = self.training_env.env_method("draw_poses", lesson.picture, lesson.states, indices=0)[0]
            self.logger.record("translator/pose", Image(drawn, "HWC"), exclude=("stdout", "log", "json", "csv"))

    def _measure(self, translator: Translator, windows: Dataset, layout: PoseLayout | None) -> Lesson:
        return measured(translator, windows, layout, self.n_validation // self.window, self.rng)

    def _on_training_end(self) -> None:
        self._finish()
        if any(name.startswith("translator/") for name in self.logger.name_to_value):
            # The log of the last rollout is written already
            self.logger.dump(self.num_timesteps)
        if self.rollout_buffer is not None:
            make_room_for_pictures(self.rollout_buffer)
