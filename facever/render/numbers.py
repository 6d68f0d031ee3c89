"""Number formats: short text, with the full value for machines."""

from facever.render.blocks import Number, Range


def count(value: int) -> Number:
    """Return 56,789 for 56789."""
    return Number(f"{value:,}", value)


def rate(value: float) -> Number:
    """Return a rate of 0..1 with four decimals."""
    return Number(f"{value:.4f}", value)


def milliseconds(value: float) -> Number:
    """Return seconds as milliseconds with three digits."""
    return Number(f"{1e3 * value:.3g}", 1e3 * value)


def seconds(value: float) -> Number:
    """Return seconds with three digits."""
    return Number(f"{value:.3g}", value)


def megabytes(value: float) -> Number:
    """Return bytes as megabytes (10^6) with one decimal."""
    return Number(f"{value / 1e6:.1f}", value / 1e6)


def short(value: float) -> Number:
    """Return a number with three decimals."""
    return Number(f"{value:.3f}", value)


def short_rate(value: float) -> Number:
    """Return a rate for the summary, formatted by `rate_text`."""
    return Number(rate_text(value), value)


def difference(value: float) -> Number:
    """Return a difference of rates, with its sign."""
    return Number(f"{value:+.4f}", value)


def far(value: float) -> Number:
    """Return a small rate, formatted by `far_text`."""
    return Number(far_text(value), value)


def score(value: float) -> Number:
    """Return a score or a threshold with six digits."""
    return Number(f"{value:.6g}", value)


def rates(low: float, high: float) -> Range:
    """Return an interval of a rate."""
    return Range(rate(low), rate(high))


def fars(low: float, high: float) -> Range:
    """Return an interval of a small rate."""
    return Range(far(low), far(high))


def differences(low: float, high: float) -> Range:
    """Return an interval of a difference of rates."""
    return Range(difference(low), difference(high))


def rate_text(value: float) -> str:
    """Return a rate with three decimals, or in powers of ten if it is too close to 0 or 1.

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
    """Return a rate in percent.

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
