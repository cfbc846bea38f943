"""The labelling page in a real browser: Debian's chromium, without a window."""

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpussl.label.answers import AnswerLog
from gpussl.runtime import store
from gpussl.tasks import project
from gpussl.tasks.project import Round

webdriver = pytest.importorskip("selenium.webdriver")
from selenium.webdriver import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
AXE_VERSION = "4.11.1"
AXE = f"https://registry.npmjs.org/axe-core/-/axe-core-{AXE_VERSION}.tgz"
N, N_GROUP = 60, 9
WAIT = 20  # seconds, at most; a loaded machine is slow

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="a browser: expected chromium and chromedriver, found none; apt-get install both"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    made = started(tmp_path_factory.mktemp("chromium"))
    yield made
    made.quit()


def started(folder):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1200,900",
        f"--user-data-dir={folder}",
    ):  # fmt: skip
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options, webdriver.ChromeService(DRIVER))


@pytest.fixture
def made(tmp_path):
    """A project of 60 pictures, all asked for, with a group of look-alikes and two doubts."""
    photos = tmp_path / "photos"
    photos.mkdir()
    rng = np.random.default_rng(0)
    names = [f"{number:02}.png" for number in range(N - 1)] + ["a\"b'<c>.png"]
    for name in names:
        Image.fromarray(rng.integers(0, 255, (12, 12), dtype=np.uint8)).save(photos / name)
    made = project.create(tmp_path / "photos.gpussl", {"choice": "images", "path": str(photos)})
    with project.whole(made.folder / "rounds" / "1") as work:
        project.write_round(work, Round(1, dict.fromkeys(names, "random"), names))
        groups = [("group", "id"), *(("0", name) for name in names[-N_GROUP:])]
        store.write_csv(work / project.LOOK_ALIKES, groups)
    with project.whole(made.folder / "learned" / "1") as work:
        doubts = [("id", "label", "predicted", "probability"), ("00.png", "cat", "dog", "0.9")]
        store.write_csv(work / project.DOUBTS, doubts)
        (work / project.SUMMARY).write_text("Accuracy 91.0% (95 % interval: 85.0% to 95.0%).\n")
    made.write_points(names, {})
    return made


class Server:
    """`gpussl label`, as a person starts it."""

    def __init__(self, made, *settings):
        self._command = [
            sys.executable,
            "-m",
            "gpussl",
            "label",
            str(made.folder),
            "no_browser=true",
            "by=anna",
            *settings,
        ]
        self._environment = {**os.environ, "XDG_CACHE_HOME": str(made.folder.parent / "cache")}
        self.start()

    def start(self):
        self._process = subprocess.Popen(
            self._command, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        said = ""
        for line in self._process.stdout:
            said += line
            if found := re.search(r"http://\S+", line):
                self.url = found[0]
                return
        pytest.fail(f"expected an address, found:\n{said}")

    def stop(self):
        start = time.monotonic()
        self._process.send_signal(signal.SIGINT)
        said, _ = self._process.communicate(timeout=WAIT)
        self.seconds = time.monotonic() - start
        return self._process.returncode, said

    def kill(self):
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def server(made):
    running = Server(made)
    yield running
    running.kill()


class Page:
    """The page as a person sees it."""

    def __init__(self, browser, server):
        self.browser = browser
        browser.get(server.url)
        self.wait(lambda: "of" in self.text("project"))

    def find(self, name):
        return self.browser.find_element(By.ID, name)

    def text(self, name):
        return self.find(name).text

    def press(self, keys):
        ActionChains(self.browser).send_keys(keys).perform()

    def wait(self, is_so, seconds=WAIT):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            with contextlib.suppress(Exception):
                if is_so():
                    return
            time.sleep(0.05)
        pytest.fail(f"the page did not come so far; it shows:\n{self.browser.find_element(By.TAG_NAME, 'body').text}")

    def shown(self):
        """The name of the picture that is shown."""
        return self.browser.find_element(By.CSS_SELECTOR, "#item img").get_attribute("alt")

    def add(self, *names):
        for name in names:
            self.find("class-name").send_keys(name, Keys.ENTER)
            self.wait(lambda name=name: name in self.classes())
        self.wait(lambda: self.find("class-name").get_attribute("value") == "")

    def classes(self):
        return [one.text for one in self.browser.find_elements(By.CSS_SELECTOR, "#classes .name")]

    def view(self, name):
        self.browser.find_element(By.CSS_SELECTOR, f"[data-view={name}]").click()

    def saved(self, n, made):
        self.wait(lambda: len(AnswerLog(made.log.path).current()) == n and self.text("saving") == "All saved")


@pytest.fixture
def page(browser, server):
    page = Page(browser, server)
    page.wait(lambda: page.shown() == "00.png")
    return page


def answers(made):
    return {item: answer.label or answer.state for item, answer in AnswerLog(made.log.path).current().items()}


def test_keys_answer_and_go_on(page, made):
    page.add("cat", "dog")
    page.press("1")
    page.wait(lambda: page.shown() == "01.png")
    ActionChains(page.browser).send_keys(Keys.NUMPAD2).perform()
    page.wait(lambda: page.shown() == "02.png")
    page.press("s")
    page.wait(lambda: page.shown() == "03.png")
    page.press("x")
    page.wait(lambda: page.shown() == "04.png")
    page.saved(4, made)
    assert answers(made) == {"00.png": "cat", "01.png": "dog", "02.png": "skipped", "03.png": "unusable"}
    assert {answer.by for answer in made.log.current().values()} == {"anna"}
    assert "token" not in page.browser.current_url


def test_arrows_go_back_and_an_answer_is_corrected(page, made):
    page.add("cat", "dog")
    page.press("11")
    page.saved(2, made)
    page.press(Keys.ARROW_LEFT)
    page.wait(lambda: page.shown() == "01.png" and "is cat" in page.text("about"))
    page.press("2")
    page.wait(lambda: page.shown() == "02.png")
    page.wait(lambda: answers(made) == {"00.png": "cat", "01.png": "dog"})


def test_undo_works_over_a_reload(page, made):
    page.add("cat", "dog")
    page.press("12121")
    page.saved(5, made)
    page.browser.refresh()
    page.wait(lambda: page.shown() == "05.png")
    for left in (4, 3):
        page.press("z")
        page.wait(lambda left=left: page.shown() == f"{left:02}.png")
        page.saved(left, made)
    page.press("2")
    page.saved(4, made)
    assert answers(made)["03.png"] == "dog"


def test_twelve_classes_and_another_key(page, made):
    page.add(*(f"class {number}" for number in range(1, 13)))
    page.press("ac")
    page.saved(2, made)
    assert answers(made) == {"00.png": "class 10", "01.png": "class 12"}
    page.browser.find_element(By.CSS_SELECTOR, "[aria-label='Change the class class 10']").click()
    page.find("edit-key").send_keys(Keys.BACKSPACE, "q")
    page.browser.find_element(By.CSS_SELECTOR, "#edit button[value=save]").click()
    page.wait(lambda: (made.folder / "classes.csv").read_text().count("class 10,q") == 1)
    page.wait(lambda: "Q" in [one.text for one in page.browser.find_elements(By.CSS_SELECTOR, "#classes kbd")])
    page.press("q")
    page.saved(3, made)
    assert answers(made)["02.png"] == "class 10"


def test_no_key_fires_while_one_types(page, made):
    page.add("cat")
    page.press("/")
    page.press("1sxz")
    assert page.find("class-name").get_attribute("value") == "1sxz"
    page.press(Keys.ESCAPE)
    ActionChains(page.browser).key_down(Keys.CONTROL).send_keys("1").key_up(Keys.CONTROL).perform()
    assert answers(made) == {}
    page.press("1")
    page.saved(1, made)


def test_a_class_is_renamed_and_merged(page, made):
    page.add("kat", "cat")
    page.press("12")
    page.saved(2, made)
    page.browser.find_element(By.CSS_SELECTOR, "[aria-label='Change the class kat']").click()
    page.find("edit-name").clear()
    page.find("edit-name").send_keys("cat")
    page.browser.find_element(By.CSS_SELECTOR, "#edit button[value=save]").click()
    page.wait(lambda: page.browser.switch_to.alert is not None)
    page.browser.switch_to.alert.accept()
    page.wait(lambda: page.classes() == ["cat"])
    assert answers(made) == {"00.png": "cat", "01.png": "cat"}


def test_look_alikes_are_answered_together(page, made):
    page.add("cat")
    page.view("group")
    page.wait(lambda: len(page.browser.find_elements(By.CSS_SELECTOR, "#group button")) == N_GROUP)
    tiles = page.browser.find_elements(By.CSS_SELECTOR, "#group button")
    odd = tiles[1].get_attribute("aria-label").removesuffix(": taken")
    tiles[1].click()
    page.press(Keys.ARROW_RIGHT + Keys.SPACE)  # the third, without a mouse
    page.wait(lambda: "goes to the 7 that" in page.text("about"))
    page.press("1")
    page.saved(N_GROUP - 2, made)
    assert odd not in answers(made)
    page.wait(lambda: len(page.browser.find_elements(By.CSS_SELECTOR, "#group button")) == 2)
    page.press("z")
    page.saved(0, made)


def test_a_second_look(page, made):
    page.add("cat", "dog")
    page.press("1")
    page.saved(1, made)
    page.wait(lambda: page.text("n-look") == "(1)")
    page.view("look")
    page.wait(lambda: "The model says dog (90 %)" in page.text("about"))
    page.press(Keys.ENTER)
    page.wait(lambda: "Nothing to look at again" in page.text("nothing"))
    page.saved(1, made)
    assert made.log.current()["00.png"].settles


def test_what_was_said_in_one_view_holds_in_the_other(page, made):
    page.add("cat", "dog")
    page.press("1")
    page.saved(1, made)
    page.wait(lambda: page.text("n-look") == "(1)")
    page.view("look")
    page.wait(lambda: page.shown() == "00.png")
    page.press("2")
    page.wait(lambda: answers(made) == {"00.png": "dog"})
    page.press("z")
    page.wait(lambda: answers(made) == {"00.png": "cat"} and page.shown() == "00.png")
    page.view("one")
    page.wait(lambda: page.shown() == "01.png")
    page.press(Keys.ARROW_LEFT)
    page.wait(lambda: page.shown() == "00.png" and "is cat" in page.text("about"))


def test_answers_wait_while_the_server_is_away_and_arrive_once(page, made, server):
    page.add("cat", "dog")
    page.press("1")
    page.saved(1, made)
    assert server.stop()[0] == 0
    assert server.seconds < 2
    for number, key in enumerate("21212", start=2):
        page.press(key)
        page.wait(lambda number=number: page.shown() == f"{number:02}.png")
    page.wait(lambda: "5 not saved yet" in page.text("saving"))
    page.browser.refresh()  # the answers outlive the page, though it cannot be loaded
    server.start()
    page.browser.get(server.url)
    page.saved(6, made)
    lines = [json.loads(line) for line in made.log.path.read_text().splitlines()]
    assert [line["id"] for line in lines] == [f"{number:02}.png" for number in range(6)]
    assert answers(made)["05.png"] == "dog"


def test_names_from_files_and_people_are_text(page, made):
    hostile = '<img src=x onerror="document.title=1">'
    page.add(hostile, "</script><script>document.title=1</script>", "=1+1")
    assert page.classes()[0] == hostile
    page.press("1")
    page.saved(1, made)
    page.view("group")
    page.wait(lambda: len(page.browser.find_elements(By.CSS_SELECTOR, "#group img")) == N_GROUP)
    assert any(
        "a\"b'<c>.png" in tile.accessible_name for tile in page.browser.find_elements(By.CSS_SELECTOR, "#group button")
    )
    page.view("state")
    page.wait(lambda: "Accuracy 91.0%" in page.text("said"))
    assert not page.browser.find_elements(By.CSS_SELECTOR, "img[src=x], aside script, main script")
    assert page.browser.title != "1"
    assert answers(made) == {"00.png": hostile}


def test_two_browsers_share_the_work(page, made, server, tmp_path):
    page.add("cat")
    other = started(tmp_path / "other")
    try:
        second = Page(other, server)
        second.wait(lambda: second.shown() not in ("", page.shown()))
        for one, key in ((page, "1"), (second, "1")):
            one.browser.execute_script(PRESSING, key, 50)
        page.wait(lambda: len(answers(made)) == N, seconds=60)
    finally:
        other.quit()
    lines = made.log.path.read_text().splitlines()
    assert len(lines) == N  # none lost, none doubled, and nothing asked of both
    assert len({json.loads(line)["key"] for line in lines}) == N


PRESSING = """
const [key, pause] = arguments;
window.pressing = setInterval(
  () => document.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true })), pause);
"""


def test_the_next_round_runs_beside(page, made):
    page.view("state")
    page.find("n-labels").clear()
    page.find("n-labels").send_keys("5", Keys.ENTER)
    page.wait(lambda: "expected labels of at least two classes" in page.text("progress"), seconds=60)
    assert page.text("progress").startswith("gpussl learn photos.gpussl")


def test_a_phone_shows_it_all(page):
    size = page.browser.get_window_size()
    try:
        page.browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride", {"width": 375, "height": 700, "deviceScaleFactor": 1, "mobile": True}
        )
        page.add("cat")
        wide = page.browser.execute_script("return document.documentElement.scrollWidth")
        assert wide <= 375
        picture = page.browser.find_element(By.CSS_SELECTOR, "#item img").rect
        assert picture["width"] >= 100
        assert picture["height"] >= 100
    finally:
        page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        page.browser.set_window_size(size["width"], size["height"])


def axe():
    """axe-core from its npm package, or None where it cannot be had."""
    path = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "gpussl" / f"axe-{AXE_VERSION}.js"
    if not path.is_file():
        try:
            with urllib.request.urlopen(AXE, timeout=30) as answer:
                archive = tarfile.open(fileobj=io.BytesIO(answer.read()))  # noqa: SIM115
        except OSError:
            return None
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(archive.extractfile("package/axe.min.js").read())
    return path.read_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_it(page, scheme):
    script = axe()
    if script is None:
        pytest.skip("axe-core: expected npm's registry to be reachable, found that it is not")
    page.add("cat", "dog")
    page.press("1")
    page.browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    try:
        page.browser.execute_cdp_cmd("Runtime.evaluate", {"expression": script})  # past the page's own policy
        for view in ("one", "group", "look", "state"):
            page.view(view)
            time.sleep(0.5)
            found = page.browser.execute_async_script("axe.run().then(arguments[0])")
            assert [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]] == []
    finally:
        page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_the_browser_has_nothing_to_complain(page, made):
    page.browser.get_log("browser")
    page.add("cat")
    page.press("1")
    page.saved(1, made)
    for view in ("group", "look", "state", "one"):
        page.view(view)
        time.sleep(0.3)
    assert page.browser.get_log("browser") == []


def test_ctrl_c_ends_it_with_what_was_done(page, made, server):
    page.add("cat")
    page.press("1")
    page.saved(1, made)
    code, said = server.stop()
    assert (code, server.seconds < 2) == (0, True)
    n_open = len({item for asked in made.rounds() for item in asked.asked}) - 1
    assert f"1 points are labelled. {n_open} that were asked for are open. Go on with\n  gpussl learn" in said
