"""Why an op stays with the plain-C kernel."""


class NotPackedError(Exception):
    """The packed kernel is not proved exact for this op; the text says which condition fails."""
