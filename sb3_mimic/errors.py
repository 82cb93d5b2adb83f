"""What can go wrong with what a user hands in, light enough to import before anything else."""


class MimicError(Exception):
    """The base of all errors of ours. Each names the culprit, what is allowed, and the cure."""


class PictureError(MimicError, ValueError):
    """A picture, or the truth beside it, cannot be read or written."""


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


class HyperparametersError(MimicError, ValueError):
    """There are no hyperparameters for a training, or they cannot be used."""
