"""Durations such as 1h30m."""

UNITS = {"h": 3600, "m": 60, "s": 1}


def parse(text):
    """Seconds of a duration such as 90s, 5m or 1h30m; ValueError if it is none."""
    total, number = 0, ""
    for character in text:
        if character.isdigit():
            number += character
        elif character in UNITS and number:
            total = int(number) * UNITS[character]
            number = ""
        else:
            raise ValueError(f"no duration: {text!r}")
    if number or not text:
        raise ValueError(f"no duration: {text!r}")
    return total
