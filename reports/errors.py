"""What a report refuses."""


class ReportError(ValueError):
    """The runs cannot be shown as asked; the message states the rule, the value and the way out."""
