"""Settings under which a teacher and cells on digits take about a second."""

SMALL = ("teacher.architecture=resnet8", "teacher.epochs=1", "student.architecture=resnet8", "data.classes=first:3")


def sets(*extra: str) -> list[str]:
    """Return ``--set`` options for SMALL and more, which wins over it."""
    given = {setting.partition("=")[0] for setting in extra}
    small = [setting for setting in SMALL if setting.partition("=")[0] not in given]
    return [part for setting in (*small, *extra) for part in ("--set", setting)]
