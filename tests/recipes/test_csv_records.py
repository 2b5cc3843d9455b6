import csv
import io
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earlybird.recipes.data.csv_records import csv_records


def records(text):
    return [fields for _, fields in csv_records(enumerate(io.StringIO(text, newline=""), start=1))]


ROWS = st.lists(st.lists(st.text(st.sampled_from('a ",\t\n\ré'), max_size=5), min_size=2, max_size=4), max_size=5)


@given(ROWS, st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_what_the_csv_module_writes_comes_back(rows, quoting):
    file = io.StringIO(newline="")
    csv.writer(file, quoting=quoting).writerows(rows)
    assert records(file.getvalue()) == rows


@given(st.text(st.sampled_from('ab,"\r\n'), max_size=20))
def test_any_text_is_read_as_by_the_csv_module_but_for_blank_lines(text):
    try:
        expected = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except csv.Error:
        with pytest.raises(ValueError, match="line"):
            records(text)
    else:
        assert records(text) == expected


def test_a_record_has_the_number_of_its_first_line():
    lines = io.StringIO('a,b\n\n"x\n\ny",1\nc,2\n', newline="")
    assert [number for number, _ in csv_records(enumerate(lines, start=1))] == [1, 3, 6]


def test_an_empty_field_alone_in_its_row_is_quoted():
    assert records('text\na\n""\n\nb\n') == [["text"], ["a"], [""], ["b"]]


def test_records_are_read_as_they_are_asked_for():
    endless = ((number, "a,b\n") for number in iter(int, 1))
    assert len(list(islice(csv_records(endless), 3))) == 3
