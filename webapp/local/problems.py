class CannotStart(Exception):
    """A start or a run that must end, with a sentence that says why and what to do."""
