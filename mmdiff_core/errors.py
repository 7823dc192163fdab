"""Errors that speak to the person at the screen: what was expected, what came, what to do next."""


class MMDiffError(ValueError):
    """Base of every error whose message is meant to be shown as it is."""


class PhotoError(MMDiffError):
    """A photo cannot be used; the message names the photo and the subject."""


class PromptError(MMDiffError):
    """Prompt and subjects do not fit together; the message names the subject and shows the prompt."""


class SettingsError(MMDiffError):
    """A number is out of the range that the model can do; the message gives the range."""


class CheckpointError(MMDiffError):
    """A checkpoint's keys, shapes or numbers are not what the model needs."""


class ModelError(MMDiffError):
    """A model is missing or cannot be loaded; the message says how to get it."""


class TrainingError(MMDiffError):
    """A training run cannot go on; the message says where to look."""


class AnnotationError(MMDiffError):
    """An annotated picture cannot be used; the message names the file and what is wrong in it."""


class GenerationError(MMDiffError):
    """A picture could not be finished: memory ran out, or the numbers ran away; the message says what to change."""


class WritingError(MMDiffError):
    """A file could not be written; the message says why, and that the old one is untouched."""
