"""What can go wrong with what a user hands in, light enough to import before anything else."""


class PictureError(ValueError):
    """A picture, or the truth beside it, cannot be read or written."""


class AgentNotFoundError(FileNotFoundError):
    """There is no such trained agent."""


class DamagedAgentError(ValueError):
    """A trained agent is there, but cannot be used as it is."""


class NoTranslatorError(TypeError):
    """The agent cannot read pictures: it was trained without a translator."""


class StorageError(OSError):
    """The storage of a study cannot be opened."""


class StudyNotFoundError(ValueError):
    """There is no such study in a storage, or another one of that name."""


class UnfinishedStudyError(ValueError):
    """A study has no finished trial to take anything from."""
