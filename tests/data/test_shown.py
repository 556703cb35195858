"""Names as they are told to people, whatever bytes they have."""

from hypothesis import given
from hypothesis import strategies as st

from swinkit.data.collection import shown


@given(st.text(alphabet=st.characters(), max_size=30))
def test_what_is_shown_leaves_nothing_that_turns_or_breaks_a_line(text):
    told = shown(text)
    assert not set(told) & set("\n\r\t\x00\u202e\u202d\u2066\u2028")
    told.encode("utf-8")


def test_undecodable_bytes_are_written_out():
    assert shown("a\udcffb") == "a\\xffb"
    assert shown("12\u202f% of 👩‍🔬 ç") == "12\u202f% of 👩‍🔬 ç"
    assert shown("\ud800") == "\\ud800"
    assert shown("👩‍🔬 ç") == "👩‍🔬 ç"
