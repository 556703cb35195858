import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swinkit.train.schedule import learning_rate_factor


def test_it_rises_linearly_and_ends_at_the_floor():
    factors = [learning_rate_factor(step, warmup=4, total=20, floor=0.1) for step in range(20)]
    assert factors[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert factors[4] == 1
    assert factors[-1] == pytest.approx(0.1)
    assert factors[12] == pytest.approx(0.1 + 0.9 * 0.5, abs=0.05)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 50), st.integers(1, 100))
def test_it_never_leaves_its_bounds_and_only_falls_after_the_warm_up(warmup, total):
    factors = [learning_rate_factor(step, warmup, total) for step in range(total)]
    assert all(0 < factor <= 1 for factor in factors)
    after = factors[warmup:]
    assert after == sorted(after, reverse=True)
