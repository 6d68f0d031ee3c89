"""How the report writes numbers: always the same way, short, and with the full value behind."""

from facever.evaluation.statistics.intervals import FEW_ERRORS
from facever.report.page import Number


def count(value: int) -> Number:
    """Return 56,789 for 56789."""
    return Number(f"{value:,}", value)


def marked_few(shown: Number, errors: int) -> Number:
    """Return a number, marked where fewer errors than carry a rate stand behind it."""
    return Number(f"{shown.text} (few)", shown.value) if errors < FEW_ERRORS else shown


def rate(value: float) -> Number:
    """Return a rate of 0..1, as `rate_text` writes it."""
    return Number(rate_text(value), value)


def rate_difference(value: float) -> Number:
    """Return how much one rate exceeds another, with its sign."""
    return Number(f"{value:+.4f}", value)


def far(value: float) -> Number:
    """Return a small rate, as `far_text` writes it."""
    return Number(far_text(value), value)


def score(value: float) -> Number:
    """Return a score or a threshold with four decimals."""
    return Number(f"{value:.4f}", value)


def rate_text(value: float) -> str:
    """Return a rate with three decimals; in powers of ten where they show nothing.

    Example:
        >>> rate_text(0.41234), rate_text(0.00012), rate_text(0.99987)
        ('0.412', '1.2e-4', '1 - 1.3e-4')
    """
    if value in (0, 1) or 5e-3 <= value <= 1 - 1e-3:
        return f"{value:.3f}"
    return far_text(value) if value < 0.5 else f"1 - {far_text(1 - value, digits=2)}"


def far_text(value: float, digits: int = 3) -> str:
    """Return a small rate in powers of ten.

    Example:
        >>> far_text(0.01), far_text(0.00998), far_text(0.0)
        ('1e-2', '9.98e-3', '0')
    """
    if value in (0, 1):
        return str(int(value))
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    shown = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{shown}e{int(exponent)}"


def interval_text(low: float, high: float) -> str:
    """Return [0.380, 0.442]."""
    return f"[{rate_text(low)}, {rate_text(high)}]"


def percent_text(value: float) -> str:
    """Return a rate as a person says it.

    Example:
        >>> percent_text(0.4123), percent_text(0.95), percent_text(1e-4), percent_text(0.99987)
        ('41.2 %', '95 %', '0.01 %', '99.987 %')
    """
    percent = 100 * value
    small = min(percent, 100 - percent)
    if small < 1e-3 and value not in (0, 1):
        return f"{percent:.3g} %" if value < 0.5 else "more than 99.999 %"
    shown = f"{percent:.{1 if small >= 0.1 else 3}f}"
    return f"{shown.rstrip('0').rstrip('.')} %"
