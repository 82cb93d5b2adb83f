"""Defines the errors that tell a user what is wrong with an input; light enough to import before anything else."""


class MimicError(Exception):
    """Serves as the base of all errors of ours. Each names the culprit, what is allowed, and the cure."""


def require_at_least(settings: object, error: type[MimicError], **least: int) -> None:
    """
    Checks whole numbers of settings.

    :param settings: What has them as attributes
    :param error: What is raised
    :param least: The smallest number that is allowed, by name
    :raises MimicError: Of that kind, when one is smaller
    """
    for name, smallest in least.items():
        if getattr(settings, name) < smallest:
            raise error(f"{name} must be at least {smallest}, got {getattr(settings, name)}.")


def require_learning_rate(rate: float, error: type[MimicError]) -> None:
    """
    Checks a learning rate.

    :param rate: The rate
    :param error: What is raised
    :raises MimicError: Of that kind, when it is not positive and finite
    """
    if not 0 < rate < float("inf"):
        raise error(f"learning_rate must be positive and finite, got {rate}.")


class BodyError(MimicError, ValueError):
    """A robot cannot be built as it is described, or not be registered under its name."""


class EnvArgumentError(MimicError, ValueError):
    """An environment was handed what it cannot use: an action, a goal, a reward, a mode."""


class MissingInfoError(MimicError, KeyError, ValueError):
    """A reward needs more of the step than it was given."""

    # A KeyError would show its message in quotes
    __str__ = Exception.__str__


class ClosedEnvError(MimicError, RuntimeError):
    """The world of an environment is closed."""


class WindowError(MimicError, RuntimeError):
    """A window to watch an environment in cannot be opened."""


class BrokenSimulationError(MimicError, FloatingPointError):
    """The physics gave numbers that are not finite."""


class PictureError(MimicError, ValueError):
    """A picture, or the truth beside it, cannot be read or written."""


class UnreadablePictureError(PictureError):
    """A picture does not look like one of the robot."""


class OutputError(MimicError, OSError):
    """A file cannot be written where it was asked for."""


class InputError(MimicError, ValueError):
    """An argument has a value that is not allowed."""


class PackageError(MimicError, ImportError):
    """A package, class or function that was named cannot be imported."""


class UnknownEnvError(MimicError, ValueError):
    """No environment is registered under an id."""


class UnsuitableEnvError(MimicError, TypeError):
    """An environment lacks what is needed of it, or does not fit the agent."""


class UnreplayableRunError(MimicError, ValueError):
    """An agent cannot be replayed in the environment that it was trained in."""


class AgentNotFoundError(MimicError, FileNotFoundError):
    """There is no such trained agent."""


class DamagedAgentError(MimicError, ValueError):
    """A trained agent is there, but cannot be used as it is."""


class NoTranslatorError(MimicError, TypeError):
    """The agent cannot read pictures: it was trained without a translator."""


class RunStateError(MimicError, ValueError):
    """A run cannot be continued from what lies beside its checkpoint."""


class InterruptedRunError(MimicError, RuntimeError):
    """A training broke off through no fault of its own."""


class TranslatorFileError(MimicError, ValueError):
    """A file that should hold a translator is missing, damaged, something else, or does not fit."""


class UnknownScriptError(MimicError, ValueError):
    """rl-zoo3 has no such script, or it cannot be run from here."""


class PublishingError(MimicError, RuntimeError):
    """An agent cannot be uploaded."""


class StorageError(MimicError, OSError):
    """The storage of a study cannot be opened."""


class StudyNotFoundError(MimicError, ValueError):
    """There is no such study in a storage, or another one of that name."""


class UnfinishedStudyError(MimicError, ValueError):
    """A study has no finished trial to take anything from."""


class ObservationSpaceError(MimicError, ValueError):
    """An observation lacks what is to be read in it, or holds it in another form."""


class LabelError(MimicError, ValueError):
    """What is to be read in a picture is not told, or is not what the translator reads."""


class TranslatorClassError(MimicError, ValueError):
    """A dotted name is not that of a translator's class."""


class HyperparametersError(MimicError, ValueError):
    """There are no hyperparameters for a training, or they cannot be used."""


class BufferSizeError(MimicError, ValueError):
    """A replay buffer does not fit into the memory of the machine."""


class UnfinishedEpisodeError(MimicError, RuntimeError):
    """A replay buffer is asked for transitions before the first episode has ended."""


class NoTargetNetworkError(MimicError, TypeError):
    """An algorithm keeps no target network of its actor."""


class CollectionError(MimicError, ValueError):
    """A collection of steps is missing, not complete, or another one than was asked for."""


class ShardError(CollectionError):
    """A file of a collection is damaged."""


class FitError(MimicError, ValueError):
    """A translator cannot be trained as it was asked for, or a training not go on."""


class WorkerError(MimicError, RuntimeError):
    """Processes that were to do something have died."""


class ForesightError(MimicError, ValueError):
    """Frames or actions do not fit a predictor, or a predictor not an environment, or its file is damaged."""


class PredictorFileError(ForesightError):
    """A predictor's file is missing, damaged, or something else."""
