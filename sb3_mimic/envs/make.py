"""Puts a robot into an environment that asks for poses."""

from sb3_mimic import keys
from sb3_mimic.envs.mimic_env import MimicEnv
from sb3_mimic.envs.sight.camera import Camera
from sb3_mimic.envs.tasks.pose import PoseGoal
from sb3_mimic.envs.tasks.rewards import Reward
from sb3_mimic.envs.tasks.terms import Weights
from sb3_mimic.envs.world.robot import Robot, RobotSpec
from sb3_mimic.envs.world.simulation import Simulation

EVERY_KEY = keys.STATE_KEYS + keys.IMAGE_KEYS

# Progress towards the pose is what is paid for; the costs are small enough not to make the robot lazy
DEFAULT_REWARD = {"joint_progress": 1.0, "electricity": -0.0005, "stall_torque": -0.0005}


def pose_env(
    spec: RobotSpec,
    camera: Camera,
    gravity: float = 9.81,
    observation_keys: tuple[str, ...] = EVERY_KEY,
    reward_weights: Weights | None = None,
    render_mode: str | None = None,
) -> MimicEnv:
    """
    :param spec: What the robot is made of
    :param camera: Its eye
    :param gravity: Downward acceleration, in m/s^2
    :param observation_keys: Which keys of ``sb3_mimic.keys`` to expose
    :param reward_weights: See :class:`~sb3_mimic.envs.tasks.rewards.Reward`
    :param render_mode: ``"human"``, ``"rgb_array"`` or None
    :return: The environment
    """
    simulation = Simulation(gravity=gravity)
    robot = Robot(simulation, spec)
    goal = PoseGoal(robot)
    reward = Reward(DEFAULT_REWARD if reward_weights is None else reward_weights, goal.layout)
    return MimicEnv(simulation, robot, goal, reward, camera, tuple(observation_keys), render_mode)


# Gymnasium asks the entry point which render modes there are, and so for rgb_array_list
pose_env.metadata = MimicEnv.metadata  # type: ignore[attr-defined]
