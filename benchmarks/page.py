"""The labelling page with 60,000 pictures that are all asked for: seconds to the first one, milliseconds per answer.

    start    from the start of the command to the first picture in a browser that is open already
    answer   from sending an answer to its acknowledgement, by which it is on the disk
    two      two browsers at twenty answers a second for a minute: answers that are lost or doubled
    session  with --session: a scripted labeller, one answer a second for ten minutes, from choose to predictions

The pictures are those of Fashion-MNIST in files with shuffled names. Needs chromium and chromedriver.
"""

import argparse
import csv
import http.client
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from few import read
from PIL import Image
from rich import box
from rich.console import Console
from rich.table import Table
from selenium import webdriver
from selenium.webdriver.common.by import By

from gpussl.label.page.desk import handle_of
from gpussl.report.results import to_csv
from gpussl.runtime import config, store
from gpussl.tasks import project
from gpussl.tasks.project import Round

RESULTS = Path(__file__).parent / "results" / "page.csv"
N_STARTS, N_ANSWERS, PAUSE, SECONDS = 5, 1000, 50, 60
SESSION = 600  # seconds
PRESS = """
const [key, pause] = arguments;
window.pressing = setInterval(
  () => document.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true })), pause);
"""


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench page", description=__doc__.partition("\n")[0])
    parser.add_argument("--session", action="store_true")
    asked = parser.parse_args()
    rows = [row for row in read(RESULTS) if (row["what"].startswith("session")) != asked.session]
    with tempfile.TemporaryDirectory(prefix="gpussl-page-") as place:
        found = session(Path(place)) if asked.session else page(Path(place))
    rows += [{"what": what, "found": f"{value:.4g}", "wanted": wanted} for what, value, wanted in found]
    store.write_text(RESULTS, to_csv(rows))
    shown = Table(box=box.SIMPLE, title="the labelling page, 60,000 pictures")
    for name in ("what", "found", "wanted"):
        shown.add_column(name, justify="left" if name == "what" else "right")
    for row in rows:
        shown.add_row(*(row[name] for name in ("what", "found", "wanted")))
    Console().print(shown)


def page(place):
    pictures(place / "photos")
    names = sorted(path.name for path in (place / "photos").iterdir())
    made = project.create(place / "photos.gpussl", {"choice": "images", "path": str(place / "photos")})
    with project.whole(made.folder / "rounds" / "1") as work:
        project.write_round(work, Round(1, dict.fromkeys(names, "random"), names))
    made.write_points(names, {})
    one, two = browser(place / "one"), browser(place / "two")
    try:
        to_url, to_picture = zip(*(start(made, one) for _ in range(N_STARTS)), strict=True)
        server = Server(made)
        answers = acknowledged(server)
        lost, doubled, given = shared(made, server, one, two)
        server.stop()
    finally:
        one.quit()
        two.quit()
    return [
        ("seconds from the start to the address, median of 5", statistics.median(to_url), ""),
        ("seconds from the start to the first picture, median of 5", statistics.median(to_picture), "2"),
        ("milliseconds from answer to acknowledgement, 95th percentile", 1000 * np.quantile(answers, 0.95), "20"),
        ("answers of two browsers in a minute", given, "2400"),
        ("of these lost", lost, "0"),
        ("of these doubled", doubled, "0"),
    ]


def start(made, driver):
    began = time.perf_counter()
    server = Server(made)
    to_url = time.perf_counter() - began
    driver.get(server.url)
    first_picture(driver)
    to_picture = time.perf_counter() - began
    server.stop()
    return to_url, to_picture


def acknowledged(server):
    """Seconds from sending an answer to its acknowledgement, by a client that waits for each."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as browsers do; or the body waits
    headers = {"Cookie": f"gpussl_{server.port}={server.token}", "Content-Type": "application/json"}
    seconds = []
    for number in range(N_ANSWERS):
        event = {"key": f"k{number}", "item": handle_of(f"{number:05}.png"), "state": "labelled", "label": "cat"}
        began = time.perf_counter()
        connection.request("POST", "/api/answers", json.dumps({"by": "bench", "events": [event]}), headers)
        answer = json.loads(connection.getresponse().read())
        seconds.append(time.perf_counter() - began)
        if answer["saved"] != [event["key"]]:
            sys.exit(f"expected that an answer is saved, found {answer}")
    connection.close()
    return seconds


def shared(made, server, *browsers):
    before = len(made.log.path.read_text().splitlines())
    for driver in browsers:
        driver.get(server.url)
        first_picture(driver)
    for driver in browsers:
        driver.execute_script(PRESS, "1", PAUSE)
    time.sleep(SECONDS)
    pressed = 0
    for driver in browsers:
        driver.execute_script("clearInterval(window.pressing)")
    for driver in browsers:
        while driver.find_element(By.ID, "saving").text != "All saved":
            time.sleep(0.1)
        pressed += driver.execute_script("return shown.one.seen.filter((point) => point.state).length")
    lines = [json.loads(line) for line in made.log.path.read_text().splitlines()[before:]]
    keys = {line["key"] for line in lines}
    points = {line["id"] for line in lines}
    return pressed - len(keys), len(lines) - min(len(keys), len(points)), pressed


def session(place):
    """From `choose` to predictions.csv, with one answer a second for ten minutes on the page."""
    truth = pictures(place / "photos")
    run(place, "choose", "photos", f"n_labels={SESSION}")
    made = project.opened(place / "photos.gpussl")
    classes = sorted(set(truth.values()))
    (made.folder / project.CLASSES).write_text(
        "class,key\n" + "".join(f"{name},{'123456789a'[number]}\n" for number, name in enumerate(classes))
    )
    key_of = {name: "123456789a"[number] for number, name in enumerate(classes)}
    driver, server = browser(place / "one"), Server(made)
    began = time.perf_counter()
    try:
        driver.get(server.url)
        first_picture(driver)
        for number in range(SESSION):
            name = driver.find_element(By.CSS_SELECTOR, "#item img").get_attribute("alt")
            driver.execute_script(
                "document.dispatchEvent(new KeyboardEvent('keydown', { key: arguments[0], bubbles: true }))",
                key_of[truth[name]],
            )
            time.sleep(max(0, number + 1 - (time.perf_counter() - began)))
        while driver.find_element(By.ID, "saving").text != "All saved":
            time.sleep(0.1)
    finally:
        driver.quit()
        server.stop()
    labelled = time.perf_counter() - began
    run(place, "learn", "photos.gpussl")
    with (made.folder / "learned" / "1" / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (made.folder / "learned" / "1" / "results.csv").open(newline="") as file:
        (said,) = csv.DictReader(file)
    right = [row["label"] == truth[row["id"]] for row in rows if row["source"] != "bought"]
    size = (made.folder / "learned" / "1" / "report.html").stat().st_size
    return [
        ("session: seconds at the page", labelled, ""),
        ("session: points labelled", len(made.labels()), ""),
        ("session: % of the other points with the right class", 100 * float(np.mean(right)), ""),
        ("session: % that learn says", 100 * float(said["accuracy"]), ""),
        ("session: MB of the report", size / 1e6, "5"),
    ]


class Server:
    """`gpussl label`, as a person starts it."""

    def __init__(self, made):
        command = [sys.executable, "-m", "gpussl", "label", str(made.folder), "no_browser=true"]
        environment = {**os.environ, "XDG_CACHE_HOME": str(made.folder.parent / "cache")}
        self._process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for line in self._process.stdout:
            if found := re.search(r"http://[\d.]+:(\d+)/\?token=(\S+)", line):
                self.url, self.port, self.token = found[0], int(found[1]), found[2]
                return
        sys.exit("expected an address, found none")

    def stop(self):
        self._process.send_signal(signal.SIGINT)
        self._process.communicate(timeout=30)


def run(place, *arguments):
    environment = {**os.environ, "XDG_CACHE_HOME": str(place / "cache")}
    done = subprocess.run(
        [sys.executable, "-m", "gpussl", *arguments], cwd=place, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"gpussl {' '.join(arguments)}: expected it to end with 0, found:\n{done.stderr}")


def pictures(folder):
    """The training images in files with shuffled names; their classes by name."""
    data = config.job("data=fashion_mnist", "classifier=[knn]", "cluster.n_clusters=10").data.load()
    images = np.asarray(data.X_train).reshape(-1, *data.image_shape)
    folder.mkdir()
    truth = {}
    for place, row in enumerate(np.random.default_rng(0).permutation(len(images)).tolist()):
        Image.fromarray(images[row]).save(folder / f"{place:05}.png")
        truth[f"{place:05}.png"] = data.class_names[int(data.y_train[row])]
    return truth


def browser(folder):
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", f"--user-data-dir={folder}"):
        options.add_argument(argument)
    return webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))


def first_picture(driver):
    script = "const i = document.querySelector('#item img'); return Boolean(i && i.complete && i.naturalWidth)"
    while not driver.execute_script(script):
        time.sleep(0.01)


if __name__ == "__main__":
    main()
