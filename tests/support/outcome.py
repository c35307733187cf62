"""What a command that refuses its input must say."""


def refused(outcome, *words):
    """Assert exit status 2 and a message of at most a screen that holds every word."""
    status, _, stderr = outcome
    assert status == 2
    assert stderr.startswith("error: ")
    assert len(stderr.splitlines()) <= 24
    missing = [word for word in words if word not in stderr]
    assert not missing, f"{missing} not in: {stderr}"
