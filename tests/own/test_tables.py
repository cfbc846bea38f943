"""Tables as people have them: delimiters, encodings, gaps, categories, ids and classes that look like numbers."""

import datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from gpussl.data import frames
from gpussl.data.auto import Auto
from gpussl.data.table import MAX_CATEGORIES, Table, TableReader, fit
from gpussl.data.texts import TextFiles
from gpussl.errors import DataError


@pytest.fixture
def table(tmp_path):
    """A function (content, settings) -> the data set of a CSV file."""

    def load(content, **settings):
        path = tmp_path / "a.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return Table(str(path), **settings).load()

    return load


def read_again(data, frame):
    (part,) = data.reader.read(frame)
    return part


class TestClasses:
    def test_a_class_called_na_is_one_and_an_empty_cell_is_none(self, table):
        data = table("x,label\n1,NA\n2,EU\n3,None\n4,nan\n5,\n", label="label")
        assert data.class_names == ("EU", "NA", "None", "nan")
        assert data.y_train.tolist() == [1, 0, 2, 3, -1]

    def test_numbers_with_a_gap_stay_whole_in_csv_and_parquet(self, table, tmp_path):
        assert table("x,label\n.1,0\n.2,\n.3,1\n", label="label").class_names == ("0", "1")
        parquet.write_table(pa.table({"x": [0.1, 0.2, 0.3], "label": [0.0, None, 1.0]}), tmp_path / "a.parquet")
        data = Table(str(tmp_path / "a.parquet"), label="label").load()
        assert data.class_names == ("0", "1")
        assert data.y_train.tolist() == [0, -1, 1]

    def test_numbers_with_decimals_are_no_classes(self, tmp_path):
        parquet.write_table(pa.table({"x": [1, 2], "label": [0.5, 1.25]}), tmp_path / "a.parquet")
        with pytest.raises(DataError, match=r"data\.label=label: expected classes, found numbers with decimals"):
            Table(str(tmp_path / "a.parquet"), label="label").load()

    def test_blanks_around_a_class_are_none_of_it_and_case_is(self, table):
        assert table("x,label\n1,cat\n2,cat \n3,Cat\n", label="label").class_names == ("Cat", "cat")


class TestIds:
    def test_they_are_text(self, table):
        assert table("id,x\n007,1\n7,2\n").train_ids == ["007", "7"]

    def test_without_a_column_they_are_the_numbers_of_the_rows(self, table):
        assert table("x\n1\n2\n").train_ids == ["1", "2"]

    def test_a_named_column_must_name_each_point(self, table):
        with pytest.raises(
            DataError, match=r"an id of its own for each point, found 1 that several share, such as 'a'"
        ):
            table("key,x\na,1\na,2\n", id="key")

    def test_a_column_called_id_that_repeats_is_no_feature(self, table):
        data = table("id,x\na,1\na,2\n")
        assert data.train_ids == ["1", "2"]
        assert [column.name for column in data.reader.columns] == ["x"]


class TestForm:
    @pytest.mark.parametrize(
        "content",
        [
            "a;b;label\n1,5;2,5;x\n3,5;4,5;y\n",
            "a\tb\tlabel\n1.5\t2.5\tx\n3.5\t4.5\ty\n",
            b"\xef\xbb\xbfa,b,label\r\n1.5,2.5,x\r\n3.5,4.5,y\r\n",
            "a,b,label\n1.5,2.5,x\n3.5,4.5,y\n".encode("utf-16"),
            " a, b ,label\n1.5,2.5,x\n3.5,4.5,y\n",
            'a,b,label\n"1.5","2.5",x\n3.5,4.5,y\n',
        ],
    )
    def test_it_is_found(self, table, content):
        data = table(content, label="label")
        assert [(column.name, column.kind, column.mean) for column in data.reader.columns] == [
            ("a", "number", 2.5),
            ("b", "number", 3.5),
        ]
        assert data.class_names == ("x", "y")

    @pytest.mark.parametrize(
        ("content", "kinds", "mean"),
        [
            ("w;tags\n1.5;1,2\n0.75;2\n10.25;3,1\n", ["number", "category"], 12.5 / 3),
            ("w;day\n1,5;02.01.1970\n2,5;31.12.2020\n", ["number", "date"], 2.0),
            ("w;c\n2;a\n1,5;b\n1.000,5;a\n", ["number", "category"], 1004 / 3),
        ],
    )
    def test_a_decimal_comma_is_one_only_where_all_numbers_are_so(self, table, content, kinds, mean):
        columns = table(content).reader.columns
        assert [column.kind for column in columns] == kinds
        assert columns[0].mean == pytest.approx(mean)

    def test_new_data_have_the_decimals_of_the_training_data(self, table, tmp_path):
        data = table("a;b\n2;1\n1,5;2\n3,5;3\n")
        (tmp_path / "new.csv").write_text("a;b\n3;1\n1,5;2\n")
        (part,) = data.reader.read(tmp_path / "new.csv")
        assert part.counts == {}
        assert part.X[1].tolist() == data.X_train[1].tolist()

    def test_a_line_break_in_the_header_is_no_row(self, table):
        assert table('"a\nb",c\n1,2\n3,4\n').train_ids == ["1", "2"]

    def test_a_cell_may_be_long(self, table):
        assert table(f"x,c\n1,{'a' * 200_000}\n2,b\n").X_train.shape == (2, 3)

    def test_another_encoding_must_be_named(self, table):
        content = "x,label\n1,Käse\n2,Brot\n".encode("cp1252")
        with pytest.raises(DataError, match=r"found .*data\.encoding=cp1252"):
            table(content, label="label")
        assert table(content, label="label", encoding="cp1252").class_names == ("Brot", "Käse")

    def test_a_line_break_in_quotes_is_one_row(self, tmp_path):
        (tmp_path / "a.csv").write_text('text,label\n"a\nb",x\nc,y\n')
        assert TextFiles(str(tmp_path / "a.csv"), text="text", label="label").load().X_train.shape[0] == 2

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("", "expected a header line"),
            ("x,label\n", "expected rows, found none"),
            ("x,x\n1,2\n", "expected columns with names of their own, found two called 'x'"),
            ("x,y\n1,2\n3\n", "expected 2 cells in each row"),
            ("x\n1\n1\n", r"found none of use \(x \(constant\)\)"),
        ],
    )
    def test_what_is_none_is_refused(self, table, content, message):
        with pytest.raises(DataError, match=message):
            table(content)

    def test_a_wrong_name_of_a_column_lists_those_there(self, tmp_path):
        (tmp_path / "a.csv").write_text("content,label\nhello,x\n")
        with pytest.raises(DataError, match=r"data\.text: expected a column of .*, one of content, label, found text"):
            TextFiles(str(tmp_path / "a.csv"), text="text").load()


class TestColumns:
    def test_a_gap_in_new_data_is_the_mean_and_is_counted(self, table):
        data = table("a,b\n1,2\n3,4\n")
        part = read_again(data, pd.DataFrame({"b": [None], "a": ["1"]}))
        assert part.counts == {"b: gaps filled": 1}
        np.testing.assert_allclose(part.X, [[np.arcsinh(-1), 0]], rtol=1e-6)

    def test_missing_columns_are_named(self, table):
        with pytest.raises(DataError, match=r"expected the columns of the training data, found no b; there are a"):
            read_again(table("a,b\n1,2\n3,4\n"), pd.DataFrame({"a": [1]}))

    def test_an_unknown_category_is_none_of_the_known_ones(self, table):
        data = table("colour\nred\nblue\nred\n")
        part = read_again(data, pd.DataFrame({"colour": ["green", "red"]}))
        assert part.X.tolist() == [[0, 0], [1, 0]]
        assert part.counts == {"colour: unknown categories": 1}

    def test_a_word_among_numbers_of_new_data_is_a_gap(self, table):
        part = read_again(table("a\n1\n3\n"), pd.DataFrame({"a": ["x", "3"]}))
        np.testing.assert_allclose(part.X, [[0], [np.arcsinh(1)]], rtol=1e-6)
        assert part.counts["a: cells that are no number"] == 1

    def test_dates_are_numbers(self, table):
        data = table("day\n2020-01-01\n2020-01-03\n")
        (column,) = data.reader.columns
        assert (column.kind, column.deviation) == ("date", 1.0)

    def test_columns_of_any_type_are_taken_as_they_are(self, tmp_path):
        """Times and durations are numbers; what Arrow has no type for is text."""
        months = ["2020-01", "2020-02", "2020-05"]
        frame = pd.DataFrame({
            "time": [datetime.time(1), datetime.time(2), None] * 2,
            "took": pd.to_timedelta([1, 2, None] * 2, unit="s"),
            "when": pd.to_datetime(["2020-01-01", "2021-01-01", None] * 2, utc=True),
            "kind": pd.Categorical(["a", "b", "a"] * 2),
            "mixed": [1, "x", None] * 2,
            "month": pd.PeriodIndex(months * 2, freq="M"),
        })  # fmt: skip
        (whole,) = frames.read_parts(frame)
        reader, _ = fit(Table("frame"), whole, None)
        kinds = {column.name: column.kind for column in reader.columns}
        numbers = dict.fromkeys(("time", "took", "when"), "number")
        assert kinds == {**numbers, "kind": "category", "mixed": "category", "month": "date"}
        (part,) = reader.read(frame)
        assert np.isfinite(part.X).all()

    def test_a_long_duration_is_a_number(self):
        """More nanoseconds than a floating-point number tells apart."""
        long = pa.array([2**62 + 1, 5, None], pa.duration("ns"))
        np.testing.assert_allclose(frames.numbers(long), [2.0**62, 5, np.nan])

    def test_times_and_durations_of_parquet_are_numbers(self, table, tmp_path):
        columns = {"a": pa.time64("us"), "b": pa.time32("s"), "c": pa.duration("ms")}
        made = pa.table({name: pa.array([1, 2, None], kind) for name, kind in columns.items()})
        parquet.write_table(made, tmp_path / "a.parquet")
        assert Table(str(tmp_path / "a.parquet")).load().X_train.shape == (3, 6)

    def test_many_categories_are_cut_and_names_are_left_out(self, table):
        many = "\n".join(f"c{n % 80}" for n in range(400))
        assert table(f"x\n{many}\n").reader.columns[0].n_features == MAX_CATEGORIES
        with pytest.raises(DataError, match="nearly all texts differ"):
            table("x\n" + "\n".join(f"name {n}" for n in range(200)) + "\n")

    def test_no_feature_is_infinite_and_a_few_large_values_do_not_outweigh_others(self, table):
        data = table("x\n" + "\n".join(["1", "2"] * 500 + ["1e300"]) + "\n")
        assert np.isfinite(data.X_train).all()
        assert data.X_train.max() < 10

    def test_a_frame_gives_what_its_file_gives(self, table, tmp_path):
        frame = pd.DataFrame({"n": [1.5, None, 3.0], "c": ["a", "b", "a"], "b": [True, False, True]})
        frame.to_parquet(tmp_path / "a.parquet")
        data = Table(str(tmp_path / "a.parquet")).load()
        np.testing.assert_array_equal(read_again(data, frame).X, data.X_train)

    def test_a_file_keeps_the_reader(self, table):
        reader = table("id,n,c\na,1,x\nb,2,\nc,4,y\n").reader
        assert TableReader.unpack(*reader.pack()) == reader


def test_parts_of_a_large_table_are_the_whole(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=500_000), "id": np.arange(500_000)})
    frame.to_csv(tmp_path / "a.csv", index=False)
    data = Table(str(tmp_path / "a.csv")).load()
    parts = list(data.reader.read(tmp_path / "a.csv"))
    assert len(parts) > 1
    np.testing.assert_array_equal(np.concatenate([part.X for part in parts]), data.X_train)
    assert [item for part in parts for item in part.ids] == data.train_ids


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.csv", "x,label\n1,a\n2,b\n", "table"),
        ("a.csv", "id,review\n" + "\n".join(f"{n},this is the review number {n}" for n in range(9)), "texts"),
        ("a.tsv", "x\ty\n1\ta\n2\tb\n", "table"),
    ],
)
def test_auto_takes_a_file_for_what_it_is(tmp_path, name, content, kind):
    (tmp_path / name).write_text(content)
    assert Auto(str(tmp_path / name)).load().notes[0].startswith(f"taken as {kind} ")


def test_auto_says_what_it_can_take(tmp_path):
    (tmp_path / "a.docx").touch()
    for path, message in ((tmp_path / "a.docx", "found .docx"), (tmp_path, "found none"), ("gone", "nothing there")):
        with pytest.raises(DataError, match=message):
            Auto(str(path)).load()
