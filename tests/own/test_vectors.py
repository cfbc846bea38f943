"""Vectors that people bring: never a pickle, ids where they are named so."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from gpussl.data.auto import Auto
from gpussl.data.texts import TextFiles, TextReader
from gpussl.data.vectors import VectorReader, Vectors
from gpussl.errors import DataError


def test_objects_are_never_loaded(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[1, 2], [3]], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"Python objects, which gpussl never loads; save it with numpy\.save"):
        Vectors(str(tmp_path / "a.npy")).load()


def test_only_ids_are_ids(tmp_path):
    np.savez(tmp_path / "a.npz", X=np.eye(3), y=np.array([2, 0, 1]))
    assert Vectors(str(tmp_path / "a.npz")).load().train_ids == ["1", "2", "3"]
    np.savez(tmp_path / "a.npz", X=np.eye(3), ids=np.array(["a", "b", "c"]))
    assert Vectors(str(tmp_path / "a.npz")).load().train_ids == ["a", "b", "c"]


@pytest.mark.parametrize("content", [b"", b"no array", b"PK\x03\x04 half"])
@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_broken_files_are_one_line(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match="expected"):
        Vectors(str(tmp_path / name)).load()


def test_no_vectors_are_an_error_and_infinite_ones_are_skipped(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((0, 5)))
    with pytest.raises(DataError, match="expected vectors, found none"):
        Vectors(str(tmp_path / "a.npy")).load()
    np.save(tmp_path / "a.npy", np.array([[1.0, 2], [np.inf, 1], [3, 4]]))
    data = Vectors(str(tmp_path / "a.npy")).load()
    assert (data.train_ids, data.skipped) == (["1", "3"], [("2", "NaN or infinity")])


def test_parquet_of_vectors_is_told_from_a_table_with_lists_of_words(tmp_path):
    parquet.write_table(pa.table({"id": ["a", "b"], "v": [[1.0, 2.0], [3.0, 4.0]]}), tmp_path / "a.parquet")
    data = Auto(str(tmp_path / "a.parquet")).load()
    assert (data.train_ids, data.X_train.tolist()) == (["a", "b"], [[1, 2], [3, 4]])
    parquet.write_table(pa.table({"x": [1, 2], "tags": [["a"], ["b"]]}), tmp_path / "b.parquet")
    assert Auto(str(tmp_path / "b.parquet")).load().notes[0].startswith("taken as table")


class TestTexts:
    def test_signs_empty_texts_and_stop_words_are_texts(self, tmp_path):
        (tmp_path / "a.csv").write_text('text,x\n"1 2",1\n"",2\nthe,3\n')
        data = TextFiles(str(tmp_path / "a.csv"), text="text").load()
        assert data.X_train.shape[0] == 3
        assert not data.X_train[1].any()
        assert "empty texts: 1" in data.notes

    def test_empty_ones_alone_are_an_error(self, tmp_path):
        (tmp_path / "a.csv").write_text('text,x\n"",2\n" ",3\n')
        with pytest.raises(DataError, match="expected texts, found 2 empty ones"):
            TextFiles(str(tmp_path / "a.csv"), text="text").load()

    def test_a_file_keeps_the_reader(self, tmp_path):
        (tmp_path / "a.csv").write_text("id,text\n1,a red apple\n2,a green apple\n3,the blue sky\n")
        data = TextFiles(str(tmp_path / "a.csv"), text="text").load()
        (part,) = TextReader.unpack(*data.reader.pack()).read(tmp_path / "a.csv")
        np.testing.assert_allclose(part.X, data.X_train, atol=1e-6)
        assert part.ids == ["1", "2", "3"]


def test_a_row_without_a_vector_or_with_another_length_is_skipped(tmp_path):
    rows = {"id": ["a", "b", "c", "d"], "v": [[1.0, 2.0], None, [3.0, 4.0], [5.0]], "class": ["x", "", "y", "x"]}
    parquet.write_table(pa.table(rows), tmp_path / "v.parquet")
    data = Vectors(str(tmp_path / "v.parquet"), label="class").load()
    assert data.train_ids == ["a", "c"]
    assert data.X_train.tolist() == [[1, 2], [3, 4]]
    assert data.y_train.tolist() == [0, 1]
    assert data.skipped == [("b", "no vector"), ("d", "1 numbers")]


def test_a_frame_is_read_as_vectors():
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
    (part,) = VectorReader(2).read(frame)
    assert part.X.tolist() == [[1, 3], [2, 4]]
    lists = pd.DataFrame({"id": ["p", "q"], "v": [[1.0, 2.0], [3.0, 4.0]]})
    (part,) = VectorReader(2, id="id", column="v").read(lists)
    assert (part.ids, part.X.tolist()) == (["p", "q"], [[1, 2], [3, 4]])
