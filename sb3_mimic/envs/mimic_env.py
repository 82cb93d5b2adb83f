"""The one environment: a robot that is asked to take a pose."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from sb3_mimic import keys
from sb3_mimic.envs.base_env import PICTURE_SIZE, BaseEnv, Observation
from sb3_mimic.envs.photographed_env import PhotographedEnv
from sb3_mimic.envs.sight.camera import Camera
from sb3_mimic.envs.sight.photographer import Photographer
from sb3_mimic.envs.sight.randomization import SceneRandomization, checked_parameters
from sb3_mimic.envs.tasks.motion import Motion, MovingGoal
from sb3_mimic.envs.tasks.pose import Goal
from sb3_mimic.envs.tasks.rewards import Reward
from sb3_mimic.envs.viewer import PosingWindow, RobotViewer
from sb3_mimic.envs.world import display
from sb3_mimic.envs.world.checks import checked_options
from sb3_mimic.envs.world.robot import Robot
from sb3_mimic.envs.world.simulation import Simulation
from sb3_mimic.envs.world.view import View
from sb3_mimic.errors import BrokenSimulationError, EnvArgumentError, WindowError
from sb3_mimic.pose import VELOCITY_SCALE

KNOWN_KEYS = (*keys.STATE_KEYS, *keys.IMAGE_KEYS, keys.DESIRED_VELOCITY)
# What the info of each step holds, whatever the reward
ALWAYS_TOLD = ("previous_achieved_goal", "action", "efforts", "qvel")


class MimicEnv(PhotographedEnv[RobotViewer]):
    """
    A robot that is asked, by a vector and by a picture, to take a pose.

    :param simulation: The world
    :param robot: The robot in it
    :param goal: What is asked for, and how it is measured
    :param reward: What is rewarded
    :param camera: Where the robot is seen from
    :param photographer: Takes the pictures
    :param observation_keys: Which keys of ``sb3_mimic.keys`` to expose
    :param render_mode: ``"human"``, ``"rgb_array"`` or None
    :param scene_randomization: How far camera and light are moved at each reset, or None
    :param moving_goal: How targets move while an episode goes on, or None
    :param view_velocity: Whether what pictures show counts how fast joints move
    :raises EnvArgumentError: For an unknown key or render mode
    """

    metadata = {**BaseEnv.metadata, "render_fps": 60}  # noqa: RUF012

    def __init__(
        self,
        simulation: Simulation,
        robot: Robot,
        goal: Goal,
        reward: Reward,
        camera: Camera,
        photographer: Photographer,
        observation_keys: tuple[str, ...] = keys.STATE_KEYS + keys.IMAGE_KEYS,
        render_mode: str | None = None,
        scene_randomization: SceneRandomization | None = None,
        moving_goal: MovingGoal | None = None,
        view_velocity: bool = False,
    ):
        super().__init__(simulation, robot, goal, camera, photographer, render_mode, scene_randomization, view_velocity)
        unknown = [key for key in observation_keys if key not in KNOWN_KEYS]
        if unknown or not observation_keys:
            raise EnvArgumentError(
                f"Unknown observation keys {unknown}, or none at all, in {observation_keys}."
                f" Known keys: {', '.join(KNOWN_KEYS)}."
            )
        self.moving_goal = moving_goal
        # How the target of this episode moves, and since when, in s
        self._motion: Motion | None = None
        self._time = 0.0
        self.reward = reward
        self.observation_keys = observation_keys
        pose = spaces.Box(-goal.layout.bounds, goal.layout.bounds)
        self._picture_shape = (camera.height, camera.width, 3)
        picture = spaces.Box(0, 255, self._picture_shape, np.uint8)
        fastest = 1.0 if moving_goal is None else moving_goal.fastest / VELOCITY_SCALE
        every_space: dict[str, spaces.Space[Any]] = {
            keys.OBSERVATION: spaces.Box(-goal.bounds, goal.bounds),
            keys.ACHIEVED_GOAL: pose,
            keys.DESIRED_GOAL: pose,
            keys.IMAGE: picture,
            keys.DESIRED_IMAGE: picture,
            keys.DESIRED_VELOCITY: spaces.Box(-fastest, fastest, self._desired_qvel.shape, np.float32),
        }
        self.observation_space = spaces.Dict({key: every_space[key] for key in observation_keys})
        self._control, self._joints = robot.body.control, robot.body.joints
        self.action_space: spaces.Space[Any] = self._control.action_space(self._joints)
        self._compares_pictures = any("pixel_error" in key for key in reward.reads)
        shown = {*observation_keys, *reward.reads}
        self._takes_pictures = self._compares_pictures or not shown.isdisjoint(keys.IMAGE_KEYS)
        # Goals that are not observed are told beside the observation, and so is what a reward asks for
        self._told = [key for key in (keys.ACHIEVED_GOAL, keys.DESIRED_GOAL) if key not in observation_keys]
        if self.view_layout is not None and self._takes_pictures:
            self._told += [keys.ACHIEVED_VIEW, keys.DESIRED_VIEW]
        self._asked = [key for key in reward.reads if key not in ALWAYS_TOLD]
        self._info_names = {name: f"reward_{name}" for name in reward.weights}
        self._image = self._desired_image = np.empty((0, 0, 3), np.uint8)
        self._pixel_error = 0.0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, dict[str, Any]]:
        """
        Draws a start and a target pose, each evenly over the whole range of every joint.

        :param seed: Seed of the random numbers
        :param options: ``"desired_goal"``: a pose to ask for, shape (goal_dim,). ``"desired_image"``: a picture,
            shape (height, width, 3), uint8, to show in place of a photograph of that pose. Where the camera moves,
            ``"camera"``: from where both pictures are taken, shape (7,), see :meth:`view_of`.
        :return: Observation and info
        :raises EnvArgumentError: For an unknown option, a wrong shape or type, or numbers that are not finite
        """
        options = checked_options(options or {}, self._picture_shape, () if self.camera_ranges is None else ("camera",))
        camera = None if options.get("camera") is None else checked_parameters(options["camera"])
        self._restart(seed)
        self.robot.release_motors()
        self.eye.draw_shots(self.np_random, camera)

        self.goal.randomise(self.np_random)
        self._stop_target()
        if self.moving_goal is not None:
            self._motion = self.moving_goal.draw(self.np_random, self.robot.joint_low, self.robot.joint_high)
        if "desired_goal" in options:
            self.goal.place(options["desired_goal"])
            self._stop_target()
        self._adopt_target(options.get("desired_image"))
        self._move_target()

        self.goal.begin(self.np_random, self._desired)
        self._achieved = self.goal.measure()
        self._look()
        if self.render_mode == "human":
            self.render()
        info: dict[str, Any] = {"is_success": bool(self.goal.is_success(self._achieved, self._desired))}
        for key in self._told:
            info[key] = PARTS[key](self)
        return self._observe(), info

    def step(self, action: npt.NDArray[np.floating]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """
        Acts, and lets the world move on.

        :param action: What the robot's control makes of it, by default fractions of the maximum torque, shape (n_joints,);
            clipped to [-1, 1]
        :return: Observation, reward, False, False (episodes end by their time limit), and info
        :raises EnvArgumentError: When the action has another shape or is not finite; the episode can go on after it
        :raises BrokenSimulationError: When the physics gave numbers that are not finite
        """
        command = self._control.checked(action, self._joints)
        self.robot.apply(command)
        self.simulation.step()
        self.robot.refresh()
        previous, self._achieved = self._achieved, self.goal.measure()
        # Whatever an action means, what it costs is the motors' torques
        action, efforts = np.array(command), self.robot.efforts(command)
        info: dict[str, Any] = {
            "previous_achieved_goal": previous,
            "action": action,
            "efforts": action if efforts is command else np.array(efforts),
            "qvel": self.robot.qvel,
        }
        if self._compares_pictures:
            info["previous_pixel_error"] = self._pixel_error
        self._time += self.simulation.dt
        self._move_target()
        self._look()
        for key in self._told:
            info[key] = PARTS[key](self)
        for key in self._asked:
            if key not in info:
                info[key] = PARTS[key](self)
        reward = 0.0
        for name, term in self.reward.terms(self._achieved, self._desired, info).items():
            info[self._info_names[name]] = term
            reward += term
        if not math.isfinite(reward + sum(self._achieved.tolist())):
            raise BrokenSimulationError(f"The simulation broke down: joint angles {self.robot.qpos}. Reset the environment.")
        info["is_success"] = bool(self.goal.is_success(self._achieved, self._desired))
        if self.render_mode == "human":
            self.render()
        return self._observe(), reward, False, False, info

    def ask_for(
        self, desired_goal: npt.NDArray[np.floating], desired_image: npt.NDArray[np.uint8] | None = None
    ) -> Observation:
        """
        Asks for another pose in mid-episode. The robot stays where it is.

        :param desired_goal: A pose, shape (goal_dim,)
        :param desired_image: A picture to show in place of a photograph of that pose, shape (height, width, 3), uint8
        :return: The observation with the new target, which stays
        :raises EnvArgumentError: For a wrong shape or type, or numbers that are not finite; the old target stays
        """
        options = checked_options({"desired_goal": desired_goal, "desired_image": desired_image}, self._picture_shape)
        try:
            with self.simulation.preserved():
                self.goal.place(options["desired_goal"])
                self._stop_target()
                self._adopt_target(options["desired_image"])
        finally:
            self.robot.resume()
        self._look()
        return self._observe()

    @property
    def compute_reward(self) -> Reward:
        """
        The reward of one step or of a batch of steps, for any goal: a function of achieved goals, desired goals and infos;
        see :class:`~sb3_mimic.envs.tasks.rewards.Reward`. By it SB3 knows an environment whose observation holds the goal.

        :raises AttributeError: Where the observation does not
        """
        if not set(keys.STATE_KEYS) <= set(self.observation_keys):
            raise AttributeError(f"Without {', '.join(keys.STATE_KEYS)} in the observation there is no goal to compute with")
        return self.reward

    def run_state(self) -> dict[str, Any]:
        """Returns all that the future of a running episode depends on, as plain numbers and arrays."""
        moving = None if self._motion is None else self._motion.run_state()
        return {
            **self.eye.run_state(),
            **({} if self.moving_goal is None else {"motion": moving, "time": self._time}),
            "world": self.simulation.to_bytes(),
            "picture_parity": self.simulation.n_pictures % 2,
            "np_random": self.np_random.bit_generator.state,
            "achieved": self._achieved,
            "desired": self._desired,
            "desired_image": self._desired_image,
            "pixel_error": self._pixel_error,
        }

    def restore_run_state(self, state: dict[str, Any]) -> None:
        """
        Goes on with an episode from an earlier state.

        :param state: What :meth:`run_state` gave, be it in another process: the episode goes on from there
        """
        self.simulation.from_bytes(state["world"])
        self.robot.resume()
        self.np_random.bit_generator.state = state["np_random"]
        self._achieved, self._desired = state["achieved"], state["desired"]
        motion = state.get("motion")
        self._motion = None if motion is None else Motion(**motion)
        self._time = state.get("time", 0.0)
        self._desired_qvel = self._qvel_of_target()
        self.eye.restore_run_state(state)
        self.eye.forget_target()
        self._desired_image = state["desired_image"]
        self._look()
        self.eye.keep_rhythm(state["picture_parity"])
        self._pixel_error = state["pixel_error"]

    def _load(self) -> None:
        self.robot.load()

    def posing_window(self, view: View, distance: float) -> PosingWindow:
        """
        Opens a window with two robots of this kind opposite each other, and sliders that pose one of them.

        :param view: From where to look at them
        :param distance: How far apart they stand, in m
        :return: The window; the environment does not see it
        :raises WindowError: When there is no display, or a window in this process already
        """
        if reason := display.why_no_display():
            raise WindowError(f"Sliders need a window, and there is no display ({reason}). Choose another motion.")
        return PosingWindow(self.robot, view, distance)

    def _open_window(self) -> RobotViewer:
        return RobotViewer(self.robot, self.camera)

    def _show(self, window: RobotViewer) -> None:
        window.show(self.robot.qpos, self.goal.qpos_of(self._desired))

    def _adopt_target(self, image: npt.NDArray[np.uint8] | None) -> None:
        """Makes the scene as it is the target, and photographs it unless an image of it is given."""
        self._desired = self.goal.measure()
        self.eye.forget_target()
        if self._takes_pictures:
            self._desired_image = self.eye.look_at_target() if image is None else image.copy()

    def _stop_target(self) -> None:
        """Lets the target stay where it is from now on."""
        self._motion, self._time = None, 0.0
        self._desired_qvel = self._qvel_of_target()

    def _qvel_of_target(self) -> npt.NDArray[np.float64]:
        """Returns how fast the target moves, shape (n_joints,), in rad/s or m/s."""
        return np.zeros_like(self._desired_qvel) if self._motion is None else self._motion.qvel(self._time)

    def _move_target(self) -> None:
        """Moves the target to where it is now, and photographs it there."""
        if self._motion is None:
            return
        qpos = self._motion.qpos(self._time)
        self._desired, self._desired_qvel = self.goal.goal_of(qpos), self._qvel_of_target()
        self.eye.forget_target()
        if self._takes_pictures:
            self._desired_image = self.eye.target_photograph(qpos)

    def _look(self) -> None:
        """Takes the robot's own frame, where it is needed, and compares it with the picture of the target."""
        if self._takes_pictures:
            self._image = self.eye.look()
        if self._compares_pictures:
            difference = (self._image.astype(np.float32) - self._desired_image).ravel() / 255
            self._pixel_error = float(difference @ difference) / difference.size

    def _picture(self) -> npt.NDArray[np.uint8]:
        """Returns the robot with its target as a translucent ghost, seen as in its own pictures, shape (480, 480, 3)."""
        return self.eye.show(self.goal.qpos_of(self._desired), PICTURE_SIZE)

    def _observe(self) -> Observation:
        return {key: PARTS[key](self) for key in self.observation_keys}


# By its name, what is observed or what a reward may ask for, as it is now. All are copies or made anew for each step:
# whoever keeps or changes an observation keeps and changes only that one.
PARTS: dict[str, Callable[[MimicEnv], Any]] = {
    keys.OBSERVATION: lambda env: env.goal.observe(),
    keys.ACHIEVED_GOAL: lambda env: env._achieved.copy(),
    keys.DESIRED_GOAL: lambda env: env._desired.copy(),
    keys.IMAGE: lambda env: env._image,
    keys.DESIRED_IMAGE: lambda env: env._desired_image.copy(),
    keys.ACHIEVED_VIEW: lambda env: env.achieved_view,
    keys.DESIRED_VIEW: lambda env: env.desired_view,
    keys.DESIRED_VELOCITY: lambda env: (env._desired_qvel / VELOCITY_SCALE).astype(np.float32),
    "pixel_error": lambda env: env._pixel_error,
    "qpos": lambda env: env.robot.qpos.copy(),
    "contacts": lambda env: env.robot.contacts(),
}
