"""What ends a conversion."""


class Refusal(ValueError):
    """What cannot be converted: one line with what, expected, found and what to do."""


def first_line(error: BaseException) -> str:
    """The first line of an error's text, at most 200 characters."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:200]
