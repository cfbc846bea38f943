"""Answers: never lost, never half taken; labels in files as people write them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpussl.errors import DataError
from gpussl.label import labels_file
from gpussl.label.answers import SKIPPED, UNDONE, Answer, AnswerLog


@pytest.fixture
def log(tmp_path):
    return AnswerLog(tmp_path / "answers.jsonl")


def labels(log):
    return {item: answer.label for item, answer in log.current().items()}


class TestLog:
    def test_the_last_answer_counts_and_all_stay(self, log):
        log.append([Answer("a", "cat"), Answer("b", "dog")])
        log.append([Answer("a", "dog"), Answer("b", state=UNDONE), Answer("c", state=SKIPPED)])
        assert {item: (answer.label, answer.state) for item, answer in log.current().items()} == {
            "a": ("dog", "labelled"),
            "c": ("", "skipped"),
        }
        assert len(log.path.read_text().splitlines()) == 5
        assert all("at" in json.loads(line) for line in log.path.read_text().splitlines())

    def test_a_correction_comes_last(self, log):
        log.append([Answer("c", "cat"), Answer("a", "dog"), Answer("c", "bird")])
        assert list(labels(log).items()) == [("a", "dog"), ("c", "bird")]

    def test_classes_are_renamed_and_merged_in_earlier_answers(self, log):
        log.append([Answer("a", "kat"), Answer("b", "cat")])
        log.rename("kat", "cat")
        log.append([Answer("c", "kat")])
        assert labels(log) == {"a": "cat", "b": "cat", "c": "kat"}

    @pytest.mark.parametrize("cut", range(1, 60, 7))
    def test_a_line_that_was_cut_costs_itself_alone(self, log, cut, capsys):
        log.append([Answer("a", "cat"), Answer("b", "dog")])
        content = log.path.read_bytes()
        log.path.write_bytes(content[:-cut])
        assert labels(log)["a"] == "cat"
        log.append([Answer("c", "cat")])
        assert labels(log)["c"] == "cat"
        assert labels(log)["a"] == "cat"
        assert "b" not in labels(log) or cut == 1

    def test_what_another_process_writes_is_seen(self, log):
        log.append([Answer("a", "cat")])
        assert labels(log) == {"a": "cat"}
        AnswerLog(log.path).append([Answer("b", "dog")])
        assert labels(log) == {"a": "cat", "b": "dog"}

    def test_a_file_that_was_put_in_its_place_is_read_anew(self, log, tmp_path):
        log.append([Answer("a", "cat"), Answer("b", "cat")])
        assert len(labels(log)) == 2
        other = AnswerLog(tmp_path / "other.jsonl")
        other.append([Answer(f"{n}", "dog") for n in range(9)])
        other.path.replace(log.path)
        assert labels(log) == {f"{n}": "dog" for n in range(9)}
        log.path.write_text("")
        assert labels(log) == {}
        log.path.unlink()
        assert labels(log) == {}

    def test_an_answer_that_was_rolled_back_leaves_nothing(self, log):
        log.append([Answer("a", "cat")])
        size = log.path.stat().st_size
        log.append([Answer("b", "cat")])
        assert "b" in labels(log)
        with log.path.open("r+") as file:
            file.truncate(size)
        AnswerLog(log.path).append([Answer("c" * 50, "cat"), Answer("d", "cat")])
        assert list(labels(log)) == ["a", "c" * 50, "d"]

    @pytest.mark.parametrize(
        "line",
        [
            '{"id": "b", "label": "x", "by": []}',
            '{"id": "b", "label": "x", "key": 7}',
            "[" * 100_000,
            "{}",
            '{"id": 1}',
        ],
    )
    def test_lines_of_another_form_are_passed_over(self, log, line, capsys):
        log.append([Answer("a", "cat")])
        with log.path.open("a") as file:
            file.write(f"{line}\n")
        log.append([Answer("c", "cat")])
        assert labels(log) == {"a": "cat", "c": "cat"}
        assert "line 2 is no whole answer" in capsys.readouterr().err

    @given(st.lists(st.tuples(st.text(min_size=1), st.text(min_size=1)), max_size=5))
    def test_ids_and_classes_may_be_any_text(self, tmp_path_factory, pairs):
        log = AnswerLog(tmp_path_factory.mktemp("log") / "answers.jsonl")
        log.append([Answer(item, label) for item, label in pairs])
        assert labels(log) == dict(pairs)

    def test_a_full_disk_takes_none(self, log, monkeypatch):
        log.append([Answer("a", "cat")])
        before = log.path.read_bytes()

        def full(handle, data, write=os.write):
            write(handle, bytes(data)[:9])
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "write", full)
        with pytest.raises(DataError, match=r"No space left on device; no answer of this call was taken"):
            log.append([Answer("b", "dog"), Answer("c", "dog")])
        assert log.path.read_bytes() == before

    def test_what_a_killed_process_has_acknowledged_is_there(self, tmp_path):
        code = (
            "import sys; from pathlib import Path; from gpussl.label.answers import Answer, AnswerLog\n"
            "log = AnswerLog(Path(sys.argv[1]))\n"
            "for n in range(10**6):\n"
            "    log.append([Answer(str(n), 'x' * 50)]); print(n, flush=True)\n"
        )
        path = tmp_path / "answers.jsonl"
        command = [sys.executable, "-c", code, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            process.stdout.readline()
            time.sleep(0.3)
            process.send_signal(signal.SIGKILL)
            acknowledged = process.stdout.read().split()
        assert acknowledged
        found = labels(AnswerLog(path))
        assert all(number in found for number in acknowledged)

    def test_two_processes_lose_nothing(self, tmp_path):
        code = (
            "import sys; from pathlib import Path; from gpussl.label.answers import Answer, AnswerLog\n"
            "for n in range(100):\n"
            "    AnswerLog(Path(sys.argv[1])).append([Answer(f'{sys.argv[2]}{n}', 'x')])\n"
        )
        path = tmp_path / "answers.jsonl"
        started = [subprocess.Popen([sys.executable, "-c", code, str(path), name]) for name in "ab"]
        assert [process.wait() for process in started] == [0, 0]
        assert len(labels(AnswerLog(path))) == 200


IDS = {"a.png", "b.png", "caf\u00e9.png", "007"}


def parsed(text, **settings):
    return labels_file.parse(Path("labels.csv"), text, IDS, **settings)


class TestFile:
    @pytest.mark.parametrize(
        "text",
        [
            "id,label\na.png,cat\nb.png,dog\n",
            "label;id\r\ncat;a.png\r\ndog;b.png\r\n",
            'filename\tother\tclass\na.png\t"x\ny"\tcat\nb.png\t\tdog \n',
            "id,label,why\na.png,cat,random\nb.png,dog,random\n007,,random\n\n",
            "image, label\na.png, cat\nb.png, dog",
        ],
    )
    def test_columns_are_found(self, text):
        assert parsed(text) == {"a.png": "cat", "b.png": "dog"}

    def test_an_id_of_another_unicode_form_is_found(self):
        assert parsed("id,label\ncafe\u0301.png,x\n") == {"caf\u00e9.png": "x"}

    def test_ids_and_classes_are_text(self):
        assert parsed("id,label\n007,1\na.png,=1+1\nb.png,NA\n") == {"007": "1", "a.png": "=1+1", "b.png": "NA"}

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "found an empty file"),
            ("a.png,cat\nb.png,dog\n", r"expected a header, such as id,label, found the point 'a\.png' in line 1"),
            ("id,label\nc.png,cat\n007,x\nd.png,x\n", r"line 2: no point is called 'c\.png'.*; line 4: no point"),
            ("id,label\na.png,cat\na.png,dog\n", r"lines 2 and 3: 'a\.png' is 'cat' and 'dog'"),
            ("id,label\na.png\n", "line 2 has 1 cells instead of 2"),
            ("a,b,c\n1,2,3\n", "expected columns called id and label, found a, b, c; name the one with the labels"),
            ("x,y,label\n1,2,3\n", "name the one with the ids with id_column="),
        ],
    )
    def test_a_wrong_line_is_named_and_nothing_is_taken(self, text, message):
        with pytest.raises(DataError, match=message):
            parsed(text)

    def test_a_class_that_is_none_of_those_allowed_is_refused(self):
        with pytest.raises(DataError, match=r"line 2: 'kat' is none of the classes; did you mean cat\?"):
            parsed("id,label\na.png,kat\n", classes=["cat", "dog"])

    def test_named_columns(self):
        text = "id,label,x,y\n1,2,a.png,cat\n"
        assert parsed(text, id_column="x", label_column="y") == {"a.png": "cat"}
        with pytest.raises(
            DataError, match=r"id_column: expected a column of labels\.csv, one of id, label, x, y, found z"
        ):
            parsed(text, id_column="z")

    @given(
        st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), min_size=1),
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), min_size=1).filter(
                lambda text: text == text.strip()
            ),
            min_size=1,
        )
    )
    def test_what_is_written_is_read_and_written_alike(self, found):
        text = labels_file.write(found)
        again = labels_file.parse(Path("labels.csv"), text, set(found))
        assert again == found
        assert labels_file.write(again) == text

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    def test_encodings(self, tmp_path, encoding):
        (tmp_path / "a.csv").write_text("id,label\na.png,Käse\n", encoding=encoding)
        assert parsed(labels_file.read(tmp_path / "a.csv")) == {"a.png": "Käse"}

    def test_utf_8_is_read_as_such_whatever_the_encoding_of_the_data(self, tmp_path):
        (tmp_path / "a.csv").write_text("id,label\na.png,Müller\n", encoding="utf-8")
        assert parsed(labels_file.read(tmp_path / "a.csv", "cp1252")) == {"a.png": "Müller"}

    def test_names_of_files_that_are_no_utf_8_come_back(self, tmp_path):
        name = b"f\xe4h.png".decode("utf-8", "surrogateescape")
        (tmp_path / "a.csv").write_bytes(b"id,label\nf\xe4h.png,x\n")
        text = labels_file.read(tmp_path / "a.csv", ids=[name])
        assert labels_file.parse(tmp_path / "a.csv", text, {name}) == {name: "x"}

    def test_many_wrong_lines_are_refused_at_once(self):
        ids = {f"picture {n}" for n in range(5000)}
        text = "id,label\n" + "".join(f"other picture {n},x\n" for n in range(5000))
        start = time.monotonic()
        with pytest.raises(DataError, match="and 4,990 more"):
            labels_file.parse(Path("labels.csv"), text, ids)
        assert time.monotonic() - start < 60

    def test_a_text_may_be_long(self):
        assert parsed(f"id,label,text\na.png,x,{'a' * 200_000}\n") == {"a.png": "x"}

    def test_another_encoding_must_be_named(self, tmp_path):
        (tmp_path / "a.csv").write_text("id,label\na.png,Käse\n", encoding="cp1252")
        with pytest.raises(DataError, match="expected text in utf-8-sig"):
            labels_file.read(tmp_path / "a.csv")
        assert parsed(labels_file.read(tmp_path / "a.csv", "cp1252")) == {"a.png": "Käse"}
