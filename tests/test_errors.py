import pickle

from facever.errors import DataError, plain


def test_a_message_is_one_line_that_a_terminal_prints() -> None:
    error = DataError("damaged (\n  bad \x1b[31mbyte\x0e) \u202e\ud800 \u00e9 \u4eba")
    assert str(error) == "damaged ( bad \\x1b[31mbyte\\x0e) \\u202e\\ud800 \u00e9 \u4eba"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # it comes back from a worker


def test_plain_text_stays() -> None:
    assert plain("na\u00efve 'x'  y") == "na\u00efve 'x'  y"
    assert plain("a\nb\0") == "a\\nb\\x00"
