"""What can go wrong with what a user hands in, light enough to import before anything else."""


class PictureError(ValueError):
    """A picture, or the truth beside it, cannot be read or written."""


class AgentNotFoundError(FileNotFoundError):
    """There is no such trained agent."""


class DamagedAgentError(ValueError):
    """A trained agent is there, but cannot be used as it is."""


class NoTranslatorError(TypeError):
    """The agent cannot read pictures: it was trained without a translator."""


class RunStateError(ValueError):
    """A run cannot be continued from what lies beside its checkpoint."""


class InterruptedRunError(RuntimeError):
    """A training broke off through no fault of its own."""


class TranslatorFileError(ValueError):
    """A file that should hold a translator is missing, damaged, something else, or does not fit."""


class UnknownScriptError(ValueError):
    """rl-zoo3 has no such script, or it cannot be run from here."""


class PublishingError(RuntimeError):
    """An agent cannot be uploaded."""


class StorageError(OSError):
    """The storage of a study cannot be opened."""


class StudyNotFoundError(ValueError):
    """There is no such study in a storage, or another one of that name."""


class UnfinishedStudyError(ValueError):
    """A study has no finished trial to take anything from."""
