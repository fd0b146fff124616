"""The question language: reading, printing, and what is said of mistakes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgrid.catalog.query import Question, QuestionError, parse
from medgrid.catalog.query_ast import (
    Between,
    Compare,
    Known,
    Node,
    OneOf,
    Path,
    Value,
)
from medgrid.errors import UsageError
from tests.catalog.questions import trees

_NAMES = st.one_of(
    st.sampled_from(["Modality", "x", "_a.b", "sub", "dataset", "brain_volume"]),
    st.just("(0008,0060)"),
)
_TEXT = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), include_characters="\n\t\r"), max_size=8
)
_VALUES = st.one_of(
    _TEXT, st.sampled_from(["and", "IN", "''", "\\n", "\\", "a b", "", "2020-01-01", "*'\""])
).map(Value)
_LEAVES: st.SearchStrategy[Node] = st.one_of(
    st.builds(
        Compare, _NAMES, st.sampled_from(["=", "!=", "<", "<=", ">", ">=", "~", "!~"]), _VALUES
    ),
    st.builds(Between, _NAMES, _VALUES, _VALUES, st.booleans()),
    st.builds(OneOf, _NAMES, st.lists(_VALUES, min_size=1, max_size=3).map(tuple), st.booleans()),
    st.builds(Known, _NAMES, st.booleans()),
    st.builds(Path, _TEXT.map(lambda text: Value("/x" + text))),
)


@given(root=trees(_LEAVES))
def test_what_is_printed_is_read_back(root: Node) -> None:
    assert parse(str(root)).root == root


@given(text=st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse(text)
    except UsageError as error:
        assert error.exit_code == 2


_WORDS = """Modality = MR and or not ( ) in , between is known 'a_b' /x/* ~ (0008,0060) ' <="""


@given(words=st.lists(st.sampled_from(_WORDS.split()), max_size=12))
def test_any_words_are_read_or_refused_at_a_place(words: list[str]) -> None:
    text = " ".join(words)
    try:
        parse(text)
    except QuestionError as error:
        assert 0 <= error.at <= len(text)
        assert error.detail[1].endswith("^")
    except UsageError as error:
        assert error.message == "the question is empty"


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("Modality = MR", "Modality=MR"),
        ("Modality==MR AND Rows>5", "Modality=MR and Rows>5"),
        ("a=1 or b=2 and c=3", "a=1 or b=2 and c=3"),
        ("(a=1 or b=2) and c=3", "(a=1 or b=2) and c=3"),
        ("((a=1) and (b=2 and c=3))", "a=1 and b=2 and c=3"),
        ("not a=1 and not (b=2)", "not a=1 and not b=2"),
        ("not not a=1", "not not a=1"),
        ("a not in (1,'2 3')", "a not in (1, '2 3')"),
        ("a in (2001,2002)", "a in (2001, 2002)"),
        ("(0008,0060)=MR and ( 0018 , 0015 ) ~ B*", "(0008,0060)=MR and (0018,0015)~B*"),
        ("a is not known", "a is unknown"),
        ("a is not unknown", "a is known"),
        ("dataset:ms-trial", "dataset=ms-trial"),
        ("/trial/*/T1w", "/trial/*/T1w"),
        ("'/a b/c'", "'/a b/c'"),
        ("a='it\\'s'", "a='it\\'s'"),
        ('a="b\\"c"', "a='b\"c'"),
        ("a~'x\\*y'", "a~'x\\\\*y'"),
        ("Rows>-5", "Rows>-5"),
        ("a=é", "a=é"),
    ],
)
def test_reading(text: str, printed: str) -> None:
    question = parse(text)
    assert str(question) == printed
    assert parse(printed).root == question.root


@pytest.mark.parametrize("text", ["/", " / ", "'/'"])
def test_a_slash_asks_for_everything(text: str) -> None:
    assert parse(text).root is None
    assert str(parse(text)) == "/"


@pytest.mark.parametrize(
    ("text", "message", "caret", "hint"),
    [
        ("Modality=", "expected a value, found the end", 9, None),
        ("Modality=and", "expected a value, found 'and'", 9, "put it in quotes"),
        ("Modality MR", "expected an operator after Modality, found 'MR'", 9, "operators are"),
        ("a=1 b=2", "expected 'and', 'or' or the end, found 'b'", 4, "put values with spaces"),
        ("a=1 and", "expected an attribute or an LFN, found the end", 7, None),
        ("(a=1", "'(' is not closed", 0, None),
        ("(a=1 b", "expected 'and', 'or' or ')', found 'b'", 5, None),
        ("a=1)", "')' has no '('", 3, None),
        ("a='MR", "the quote ' is not closed", 2, None),
        ("a is 3", "expected 'known' or 'unknown', found '3'", 5, None),
        ("a between 1 or 2", "expected 'and', found 'or'", 12, None),
        ("a in 1", "expected '(', found '1'", 5, None),
        ("a in (1 2)", "expected ',' or ')', found '2'", 8, None),
        ("a in ()", "expected a value, found ')'", 6, None),
        ("5=a", "expected an attribute or an LFN, found '5'", 0, "LFNs start with '/'"),
        ("a=1 and !b=2", "'!' does not belong here", 8, None),
        ("dataset:", "expected a dataset's name after 'dataset:'", 0, None),
        ("a=\x1b[2J", "the question holds the control character U+001B", 2, None),
    ],
)
def test_a_mistake_is_shown_at_its_place(
    text: str, message: str, caret: int, hint: str | None
) -> None:
    with pytest.raises(QuestionError) as caught:
        parse(text)
    assert caught.value.message == message
    assert caught.value.at == caret
    assert caught.value.detail == ("    " + text.replace("\x1b", "?"), " " * (4 + caret) + "^")
    assert (caught.value.hint or "").startswith(hint or "")


def test_a_long_question_is_shown_in_part() -> None:
    text = "a=1 and " * 30 + "b ! 2" + " and c=3" * 30
    with pytest.raises(QuestionError) as caught:
        parse(text)
    line, caret = caught.value.detail
    assert line.startswith("... ")
    assert line[len(caret) - 1] == "!"


def test_wide_characters_do_not_move_the_caret() -> None:
    with pytest.raises(QuestionError) as caught:
        parse("a='脑' and b")
    assert caught.value.detail[1] == " " * (4 + 12) + "^"


def test_empty_deep_and_long_questions_are_refused() -> None:
    for text in ("", "  \n"):
        with pytest.raises(UsageError) as caught:
            parse(text)
        assert caught.value.message == "the question is empty"
        assert caught.value.hint == "'/' asks for everything"
    with pytest.raises(QuestionError, match="more than 50 levels of parentheses and 'not'"):
        parse("(" * 10_000 + "a=1" + ")" * 10_000)
    with pytest.raises(UsageError, match="the question has more than 500 conditions"):
        parse(" or ".join(["a=1"] * 501))
    with pytest.raises(UsageError, match="the question is longer than 100000 characters"):
        parse("a=" + "1" * 100_000)


@pytest.mark.parametrize(
    ("keys", "printed", "wanted"),
    [
        (["Modality=MR"], "Modality=MR", ()),
        (["Modality=MR", "PatientSex=F"], "Modality=MR and PatientSex=F", ()),
        (["SeriesDescription=*T1*"], "SeriesDescription~*T1*", ()),
        (["Modality=MR\\CT"], "Modality in (MR, CT)", ()),
        (["StudyDate=20200101-20201231"], "StudyDate between 20200101 and 20201231", ()),
        (["StudyDate=2020-01-01-2020-12-31"], "StudyDate between 2020-01-01 and 2020-12-31", ()),
        (["StudyDate=20200101-"], "StudyDate>=20200101", ()),
        (["(0008,0020)=-20201231"], "(0008,0020)<=20201231", ()),
        (["StudyDate=2020-01-01"], "StudyDate=2020-01-01", ()),
        (["SeriesDescription=a-b"], "SeriesDescription=a-b", ()),
        (["SeriesDescription=it's (1)"], "SeriesDescription='it\\'s (1)'", ()),
        (["0008,103E=x", "Rows", "Columns="], "(0008,103e)=x", ("Rows", "Columns")),
        (["Rows"], "/", ("Rows",)),
    ],
)
def test_keys(keys: list[str], printed: str, wanted: tuple[str, ...]) -> None:
    question = Question.from_keys(keys)
    assert str(question) == printed
    assert question.wanted == wanted


def test_a_key_without_name_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        Question.from_keys(["=MR"])
    assert caught.value.message == "'=MR' is not a key"
    assert caught.value.hint == "keys look like Modality=MR or 0008,0060=MR"


def test_questions_join() -> None:
    joined = parse("a=1 or b=2").also(Question.from_keys(["c=3", "Rows"]))
    assert str(joined) == "(a=1 or b=2) and c=3"
    assert joined.wanted == ("Rows",)
    assert str(Question(None).also(parse("a=1"))) == "a=1"
