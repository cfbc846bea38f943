"""The desk and the server of the labelling page, without a browser."""

import http.client
import json
import socket
import threading
import time
from pathlib import Path

import pytest

from gpussl.errors import DataError, InputError
from gpussl.label.answers import Answer, AnswerLog
from gpussl.label.page import server
from gpussl.label.page.classes import Classes
from gpussl.label.page.desk import ON_SCREEN, Desk, handle_of
from gpussl.label.page.example import Fruit, fruit

TOKEN = "known-to-this-test"  # noqa: S105


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def desk(tmp_path, clock):
    return Desk(Fruit(), AnswerLog(tmp_path / "answers.jsonl"), Classes(tmp_path / "classes.csv"), clock)


def handle(number):
    return handle_of(f"fruit {number}")


def said(key, number, label="apple", **more):
    return {"key": key, "item": handle(number), "state": "labelled", "label": label, **more}


def labels(desk):
    return {item: answer.label or answer.state for item, answer in desk._log.current().items()}


def numbers(points):
    assert [point["item"] for point in points] == [handle_of(point["id"]) for point in points]
    return [int(point["id"].removeprefix("fruit ")) for point in points]


class TestDesk:
    def test_points_come_in_the_order_that_was_asked(self, desk):
        assert numbers(desk.next("a", n=5)) == [0, 1, 2]

    def test_what_is_on_another_screen_comes_later(self, desk, clock):
        assert numbers(desk.next("a", n=2)) == [0, 1]
        assert numbers(desk.next("b", n=2)) == [2]
        assert numbers(desk.next("a", n=2)) == [0, 1]
        clock.now = ON_SCREEN + 1
        assert numbers(desk.next("b", n=3, have=[handle(2)])) == [0, 1]

    def test_what_a_screen_still_has_stays_its_own(self, desk, clock):
        desk.next("a", n=2)
        clock.now = ON_SCREEN - 1
        desk.next("a", n=1, have=[handle(0)])
        clock.now = ON_SCREEN + 1
        assert numbers(desk.next("b", n=3)) == [2]

    def test_an_answer_that_comes_twice_is_taken_once(self, desk):
        for _ in range(2):
            assert desk.take("anna", [said("k", 0)])["saved"] == ["k"]
        assert desk.take("anna", [said("k", 1, "melon"), said("l", 1), said("l", 2)])["saved"] == ["k", "l"]
        assert labels(desk) == {"fruit 0": "apple", "fruit 1": "apple"}

    def test_and_after_a_new_start_too(self, desk, tmp_path):
        desk.take("anna", [said("k", 0)])
        again = fruit(str(tmp_path))
        assert again.take("anna", [said("k", 0, "melon")])["saved"] == ["k"]
        assert labels(again) == {"fruit 0": "apple"}

    def test_undo_goes_back_to_any_depth_and_over_a_new_start(self, desk, tmp_path):
        for number, label in enumerate(("apple", "melon", "apple")):
            desk.take("anna", [said(f"k{number}", number, label)])
        desk.take("anna", [said("k3", 0, "melon")])
        for step, left in enumerate(
            [
                {"fruit 0": "apple", "fruit 1": "melon", "fruit 2": "apple"},
                {"fruit 0": "apple", "fruit 1": "melon"},
                {"fruit 0": "apple"},
                {},
                {},
            ]
        ):
            desk = fruit(str(tmp_path))
            desk.take("anna", [{"key": f"u{step}", "state": "undo"}])
            assert labels(desk) == left

    def test_undo_takes_back_ones_own_answer(self, desk):
        desk.take("anna", [said("a", 0, "apple")])
        desk.take("bob", [said("b", 0, "melon")])
        assert numbers(desk.take("anna", [{"key": "u", "state": "undo"}])["undone"]) == [0]
        assert labels(desk) == {"fruit 0": "melon"}

    def test_an_undo_that_comes_twice_is_one(self, desk):
        desk.take("anna", [said("a", 0), said("b", 1)])
        for _ in range(2):
            desk.take("anna", [{"key": "u", "state": "undo"}])
        assert labels(desk) == {"fruit 0": "apple"}

    def test_an_undo_of_nothing_that_is_sent_again_takes_nothing_back(self, desk):
        events = [{"key": "u", "state": "undo"}, said("a", 0)]
        for _ in range(2):
            assert desk.take("anna", events)["saved"] == ["u", "a"]
        assert labels(desk) == {"fruit 0": "apple"}

    def test_an_undo_that_names_its_gesture_takes_back_no_later_one(self, desk):
        desk.take("anna", [said("a", 0), said("b", 1)])
        desk.take("anna", [{"key": "u", "state": "undo", "of": "a"}])
        assert labels(desk) == {"fruit 1": "apple"}
        desk.take("anna", [{"key": "v", "state": "undo", "of": "a"}])
        assert labels(desk) == {"fruit 1": "apple"}

    def test_an_answer_that_waited_is_about_the_point_that_was_shown(self, desk, tmp_path):
        class Grown(Fruit):
            def ids(self):
                return ["another", *super().ids()]

        (point,) = desk.next("a")
        grown = Desk(Grown(), AnswerLog(tmp_path / "answers.jsonl"), Classes(tmp_path / "classes.csv"))
        grown.take("anna", [{"key": "k", "item": point["item"], "state": "labelled", "label": "apple"}])
        assert labels(grown) == {point["id"]: "apple"}

    def test_an_answer_that_waited_gets_the_new_name_of_its_class(self, desk):
        desk.take("anna", [said("a", 0, "kat")])
        desk.state()
        desk.change_class("anna", {"change": "rename", "name": "kat", "to": "cat"})
        desk.take("bob", [said("b", 1, "kat")])
        assert [(one["name"], one["count"]) for one in desk.state()["classes"]] == [("cat", 2)]

    def test_names_that_are_no_utf_8_are_shown(self, desk):
        desk._log.append([Answer("fruit 0", "caf\udce9", by="sorted/")])
        assert [one["name"] for one in desk.state()["classes"]] == ["caf\udce9"]
        assert b"caf\\udce9" in server._json(desk.state()).body

    def test_look_alikes_are_taken_back_together(self, desk):
        assert numbers(desk.group("a")) == [0, 3]
        desk.take("anna", [said("x", 1), said("g/0", 0), said("g/1", 3)])
        assert desk.group("a") == []
        assert sorted(numbers(desk.take("anna", [{"key": "u", "state": "undo"}])["undone"])) == [0, 3]
        assert labels(desk) == {"fruit 1": "apple"}

    def test_skipped_points_come_back_last_and_unusable_ones_do_not(self, desk):
        desk.take(
            "anna",
            [{"key": "s", "item": handle(0), "state": "skipped"}, {"key": "x", "item": handle(1), "state": "unusable"}],
        )
        assert numbers(desk.next("a", n=3)) == [2, 0]
        counts = desk.state()
        assert (counts["answered"], counts["skipped"], counts["labelled"]) == (1, 1, 0)

    def test_what_the_model_doubts_is_asked_once_more(self, desk):
        assert desk.second_look("a", 5) == []
        desk.take("anna", [said("a", 0, "apple")])
        (point,) = desk.second_look("a", 5)
        assert (point["label"], point["predicted"], point["probability"]) == ("apple", "melon", 0.9)
        desk.take("anna", [said("b", 0, "apple", settles=True)])
        assert desk.second_look("a", 5) == []

    def test_the_correction_of_a_file_is_no_disagreement(self, desk):
        desk._log.append([Answer("fruit 1", "apple", by="labels.csv")])
        desk.take("anna", [said("a", 1, "melon")])
        assert desk.second_look("a", 5) == []

    def test_disagreement_is_shown_until_somebody_settles_it(self, desk):
        desk.take("anna", [said("a", 1, "apple")])
        desk.take("bob", [said("b", 1, "melon")])
        (point,) = desk.second_look("a", 5)
        assert (point["id"], point["said"]) == ("fruit 1", ["apple (anna)", "melon (bob)"])
        desk.take("anna", [said("c", 1, "melon", settles=True)])
        assert desk.second_look("a", 5) == []
        assert labels(desk)["fruit 1"] == "melon"

    def test_answers_of_other_processes_are_seen(self, desk, tmp_path):
        AnswerLog(tmp_path / "answers.jsonl").append([Answer("fruit 0", "pear", by="file")])
        assert numbers(desk.next("a", n=3)) == [1, 2]
        assert [one["name"] for one in desk.state()["classes"]] == ["pear"]

    @pytest.mark.parametrize(
        "event",
        [
            {"item": handle(0), "state": "labelled", "label": ""},
            {"item": handle(0), "state": "labelled", "label": "a\nb"},
            {"item": handle(0), "state": "labelled", "label": "x" * 201},
            {"item": handle(0), "state": "labelled"},
            {"item": handle(4), "state": "labelled", "label": "apple"},
            {"item": "../../etc/passwd", "state": "labelled", "label": "apple"},
            {"item": "0", "state": "labelled", "label": "apple"},
            {"item": 0, "state": "labelled", "label": "apple"},
            {"item": handle(0), "state": "undone"},
            {"item": handle(0)},
        ],
    )
    def test_a_wrong_answer_is_refused_and_the_others_are_taken(self, desk, event):
        found = desk.take("anna", [said("a", 1), {"key": "wrong", **event}, said("b", 2)])
        assert (found["saved"], list(found["refused"])) == (["a", "b"], ["wrong"])
        assert labels(desk) == {"fruit 1": "apple", "fruit 2": "apple"}

    @pytest.mark.parametrize("events", [None, "x", [1], [{}], [{"key": ""}], [{"key": "k" * 81}], [said("k", 0)] * 501])
    def test_what_is_no_event_is_an_error(self, desk, events):
        with pytest.raises(InputError):
            desk.take("anna", events)
        assert labels(desk) == {}

    def test_a_full_disk_acknowledges_nothing(self, desk, monkeypatch):
        def full(self, answers):
            raise DataError("answers.jsonl: expected a file that can be written, found: No space left on device")

        monkeypatch.setattr(AnswerLog, "append", full)
        with pytest.raises(DataError, match="No space left"):
            desk.take("anna", [said("a", 0)])


class TestClasses:
    def test_the_tenth_class_has_a_letter(self, tmp_path):
        classes = Classes(tmp_path / "classes.csv")
        for number in range(34):
            classes.add(f"class {number}")
        keys = list(classes.keys().values())
        assert keys[:11] == [*"123456789", "a", "b"]
        assert not {"s", "x", "z"} & set(keys)
        assert keys[-2:] == ["", ""]

    def test_they_are_kept(self, tmp_path):
        classes = Classes(tmp_path / "classes.csv")
        for name in ("cat", 'a "quoted", name', "dog"):
            classes.add(name)
        classes.set_key("dog", "D")
        classes.set_key("cat", "d")
        classes.rename("cat", "Katze")
        assert Classes(tmp_path / "classes.csv").keys() == {"Katze": "d", 'a "quoted", name': "2", "dog": ""}

    def test_its_own_name_changes_nothing(self, tmp_path):
        classes = Classes(tmp_path / "classes.csv")
        classes.add("cat")
        classes.rename("cat", "cat")
        assert classes.keys() == {"cat": "1"}

    def test_keys_stay_when_classes_come_from_a_file(self, desk, tmp_path):
        desk._log.append([Answer("fruit 0", "cat", by="labels.csv")])
        desk.state()
        desk._log.append([Answer("fruit 1", "bird", by="labels.csv")])
        assert fruit(str(tmp_path)).classes.keys() == {"cat": "1", "bird": "2"}

    def test_a_name_that_is_there_merges(self, tmp_path):
        desk = fruit(str(tmp_path))
        desk.take("anna", [said("a", 0, "kat"), said("b", 1, "cat")])
        desk.state()
        desk.change_class("anna", {"change": "rename", "name": "kat", "to": "cat"})
        assert desk.state()["classes"] == [{"name": "cat", "key": "1", "count": 2}]
        assert labels(desk) == {"fruit 0": "cat", "fruit 1": "cat"}

    @pytest.mark.parametrize("change", [{}, {"change": "add"}, {"change": "rename", "name": "no", "to": "yes"}])
    def test_a_wrong_change_is_an_error(self, desk, change):
        with pytest.raises(InputError):
            desk.change_class("anna", change)

    @pytest.mark.parametrize("key", ["s", "Z", "x", "ab", "é", "!"])
    def test_keys_that_do_something_else_are_refused(self, tmp_path, key):
        classes = Classes(tmp_path / "classes.csv")
        classes.add("cat")
        with pytest.raises(InputError, match="expected a digit or a letter"):
            classes.set_key("cat", key)

    def test_only_the_allowed_ones(self, tmp_path):
        classes = Classes(tmp_path / "classes.csv", only=["cat", "dog"])
        assert classes.keys() == {"cat": "1", "dog": "2"}
        with pytest.raises(InputError, match="expected one of cat, dog, found 'bird'"):
            classes.add("bird")

    def test_a_damaged_file_is_said(self, tmp_path):
        (tmp_path / "classes.csv").write_text("name\ncat\n")
        with pytest.raises(DataError, match=r"classes\.csv: expected a CSV file with the columns class and key"):
            Classes(tmp_path / "classes.csv")


class NoRounds:
    def start(self, n_labels):
        self.n_labels = n_labels

    def state(self):
        return {"is_running": False, "lines": [], "seconds": 0}


@pytest.fixture
def page(tmp_path):
    listening = server.listen("127.0.0.1", 0)
    port = listening.getsockname()[1]
    rounds = NoRounds()
    application = server.app(fruit(str(tmp_path)), rounds, TOKEN, port=port, by="anna")
    running = server.ready(application)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    yield Page(port, rounds)
    running.should_exit = True
    thread.join(5)
    listening.close()


class Page:
    def __init__(self, port, rounds):
        self.port, self.rounds = port, rounds

    def ask(self, path, method="GET", body=None, token=TOKEN, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            headers["Cookie"] = f"gpussl_{self.port}={token}"
        if isinstance(body, dict):
            headers.setdefault("Content-Type", "application/json")
            body = json.dumps(body)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer, content

    def status(self, *args, **kwargs):
        return self.ask(*args, **kwargs)[0].status


PATHS = "/", "/page.js", "/api/state", "/api/next?screen=a", f"/picture/{handle(0)}", "/nowhere"


class TestServer:
    def test_the_first_address_sets_the_cookie(self, page):
        answer, content = page.ask(f"/?token={TOKEN}", token=None)
        assert answer.status == 200
        assert b"page.js" in content
        cookie = answer.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert TOKEN in cookie

    @pytest.mark.parametrize(
        "path", ["/", "/page.js", "/api/state", "/api/next?screen=a", f"/picture/{handle(0)}", "/nowhere"]
    )
    @pytest.mark.parametrize("token", [None, "wrong", ""])
    def test_nothing_without_the_token(self, page, path, token):
        assert page.status(path, token=token) == 403
        assert page.status(path + ("&" if "?" in path else "?") + "token=wrong", token=token) == 403

    def test_the_token_in_an_address_opens_the_page_alone(self, page):
        assert page.status(f"/api/state?token={TOKEN}", token=None) == 403

    @pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[", "10.0.0.1"])
    def test_another_host_is_refused(self, page, host):
        assert page.status("/api/state", Host=host) == 421

    def test_cookies_of_others_do_not_matter(self, page):
        odd = f'foo={{"a":1}}; gpussl_{page.port}={TOKEN}; bar'
        assert page.status("/api/state", token=None, Cookie=odd) == 200

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9", "[::1]:80"])
    def test_a_tunnel_may_have_another_port(self, page, host):
        assert page.status("/api/state", Host=host) == 200

    @pytest.mark.parametrize(
        "origin", ["http://evil.example", "null", "http://[", "https://localhost:1", "http://127.0.0.1:1"]
    )
    def test_another_origin_is_refused(self, page, origin):
        assert page.status("/api/answers", "POST", {"by": "", "events": []}, Origin=origin) == 403

    def test_its_own_origin_is_not(self, page):
        here = f"127.0.0.1:{page.port}"
        assert page.status("/api/answers", "POST", {"events": []}, Origin=f"http://{here}", Host=here) == 200

    @pytest.mark.parametrize(
        "path", ["/picture/..%2f..%2fetc%2fpasswd", "/picture/../../etc/passwd", "/..%2fpage.js", "/picture/", "/%00"]
    )
    def test_paths_lead_nowhere(self, page, path):
        assert page.status(path) == 404

    @pytest.mark.parametrize("number", [handle_of("fruit 4"), "0", "9" * 5000])
    def test_a_number_that_is_none_is_not_there(self, page, number):
        assert page.status(f"/picture/{number}") == 404

    def test_pictures_are_sent_by_number(self, page):
        answer, content = page.ask(f"/picture/{handle(3)}")
        assert (answer.status, answer.headers["Content-Type"], content[:4]) == (200, "image/png", b"\x89PNG")

    def test_what_browsers_are_told(self, page):
        for path in ("/", "/api/state", f"/picture/{handle(0)}", "/nowhere"):
            answer, _ = page.ask(path)
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
            assert "unsafe" not in answer.headers["Content-Security-Policy"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Cache-Control"] == "no-store"

    def test_a_large_body_is_refused_and_others_are_served(self, page):
        connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=20)
        connection.putrequest("POST", "/api/answers")
        connection.putheader("Cookie", f"gpussl_{page.port}={TOKEN}")
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", str(100 * 2**20))
        connection.endheaders()
        assert connection.getresponse().status == 413
        connection.close()
        assert page.status("/api/state") == 200

    def test_a_large_body_without_a_length_is_refused(self, page):
        def endless():
            for _ in range(100):
                yield b"x" * 2**20

        connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=20)
        headers = {"Cookie": f"gpussl_{page.port}={TOKEN}", "Content-Type": "application/json"}
        try:
            connection.request("POST", "/api/answers", endless(), headers, encode_chunked=True)
            with connection.getresponse() as answer:
                assert answer.status == 413
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has hung up before the end, as it should
        finally:
            connection.close()
        assert page.status("/api/state") == 200

    def test_a_slow_client_is_hung_up_and_keeps_nobody_waiting(self, page, monkeypatch):
        monkeypatch.setattr(server, "SLOWEST_BODY", 0.3)
        with socket.create_connection(("127.0.0.1", page.port), timeout=20) as slow:
            slow.sendall(
                f"POST /api/answers HTTP/1.1\r\nHost: localhost\r\nCookie: gpussl_{page.port}={TOKEN}\r\n"
                "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{".encode()
            )
            start = time.monotonic()
            assert page.status("/api/state") == 200
            assert time.monotonic() - start < 1
            assert b" 408 " in slow.recv(100)

    @pytest.mark.parametrize(
        ("body", "kind", "status"),
        [
            ("{}", "text/plain", 415),
            ("{", "application/json", 400),
            ("[]", "application/json", 400),
            ("[" * 100_000, "application/json", 400),
            ('{"events": 1}', "application/json", 400),
            ('{"events": [], "by": 7}', "application/json", 400),
        ],
    )
    def test_other_bodies_are_refused(self, page, body, kind, status):
        assert page.status("/api/answers", "POST", body, Content_Type=kind) == status

    @pytest.mark.parametrize("query", ["", "?screen=a&n=0", "?screen=a&n=x", "?screen=a&n=9999999999"])
    def test_wrong_questions_are_refused(self, page, query):
        assert page.status(f"/api/next{query}") == 400

    @pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS"])
    def test_other_methods_are_refused(self, page, method):
        assert page.status("/api/state", method) == 405

    def test_a_round_is_started_with_a_number(self, page):
        assert page.status("/api/round", "POST", {"n_labels": 0}) == 400
        assert page.status("/api/round", "POST", {"n_labels": "10"}) == 400
        assert page.status("/api/round", "POST", {"n_labels": 10}) == 200
        assert page.rounds.n_labels == 10

    def test_answers_are_on_the_disk_when_they_are_acknowledged(self, page, tmp_path):
        _, content = page.ask("/api/answers", "POST", {"by": "bob", "events": [said("k", 0)]})
        assert json.loads(content)["saved"] == ["k"]
        line = json.loads(Path(tmp_path, "answers.jsonl").read_text())
        assert (line["id"], line["label"], line["by"], line["round"]) == ("fruit 0", "apple", "bob", 1)


def test_a_port_that_is_taken_is_said():
    with server.listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(server.ConfigError, match=rf"port: expected a free one on 127\.0\.0\.1, found {port}"):
            server.listen("127.0.0.1", port)
        with server.listen("127.0.0.1", 0, preferred=port) as other:
            assert other.getsockname()[1] != port
