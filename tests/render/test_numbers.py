import doctest

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from facever.render import numbers


def test_examples() -> None:
    result = doctest.testmod(numbers)
    assert result.attempted >= 3
    assert not result.failed


def value_of(text: str) -> float:
    head, minus, tail = text.partition(" - ")
    return float(head) - float(tail) if minus else float(text)


@given(st.floats(0, 1))
def test_a_rate_reads_back_within_its_last_digit(rate: float) -> None:
    distance = min(rate, 1 - rate)
    allowed = max(0.0005, 0) if distance >= 1e-3 else 0.06 * distance
    assert abs(value_of(numbers.rate_text(rate)) - rate) <= allowed + 1e-15


@given(st.floats(1e-12, 1, exclude_max=True))
def test_a_far_reads_back_with_three_digits(far: float) -> None:
    assert float(numbers.far_text(far)) == pytest.approx(far, rel=5.1e-3)


@given(st.floats(0, 1))
@example(1 - 1e-9)
@example(1e-9)
def test_a_percentage_never_claims_all_or_nothing(rate: float) -> None:
    text = numbers.percent_text(rate)
    assert (text == "0 %") == (rate == 0)
    assert (text == "100 %") == (rate == 1)
    if not text.startswith("more"):
        assert float(text.removesuffix(" %")) / 100 == pytest.approx(rate, rel=5e-3, abs=5e-4)


@pytest.mark.parametrize(
    ("made", "text", "value"),
    [
        (numbers.count(6837045), "6,837,045", 6837045),
        (numbers.rate(0.41234), "0.4123", 0.41234),
        (numbers.far(0.00998), "9.98e-3", 0.00998),
        (numbers.score(-0.283141592), "-0.283142", -0.283141592),
    ],
)
def test_a_number_keeps_its_full_value(made: numbers.Number, text: str, value: float) -> None:
    assert (made.text, made.value) == (text, value)


def test_an_interval() -> None:
    assert numbers.interval_text(0.38, 1.0) == "[0.380, 1.000]"
