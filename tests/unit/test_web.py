"""The live page: what it serves and to whom, and how it looks in a browser."""

import http.client
import json
from dataclasses import replace

import pytest
from browser import PROGRAM, Browser
from report_samples import moment

from host.errors import MissingError
from host.monitor.span import Loads
from host.monitor.web import ADDRESS, WebView, figure_data, frame_data


def request(view, path="/", host=None):
    port = int(view.url.rstrip("/").rpartition(":")[2])
    connection = http.client.HTTPConnection(ADDRESS, port, timeout=10)
    connection.request("GET", path, headers={"Host": host or f"{ADDRESS}:{port}"})
    return connection.getresponse()


def next_event(stream):
    lines = []
    while line := stream.readline().decode().rstrip("\n"):
        lines.append(line)
    assert lines[0].startswith("event: ") and lines[1].startswith("data: ")
    return lines[0][7:], json.loads(lines[1][6:])


def test_frames_figures_and_losses_reach_the_page():
    with WebView(0) as view:
        view.show(moment(late=2))
        stream = request(view, "/events")
        assert stream.getheader("Content-Type") == "text/event-stream"
        name, frame = next_event(stream)
        assert name == "frame" and frame["title"] == "demo 1.0.0 on qemu-m4"
        assert frame["tasks"][1][0] == "digits" and frame["tasks"][1][6] == "2"
        name, figures = next_event(stream)
        assert name == "figures" and len(figures["tasks"]) == 2
        assert figures["miss"]["svg"].startswith("<svg") and "job 62" in figures["miss"]["words"]
        view.lost("cable pulled")
        assert next_event(stream) == ("lost", {"cause": "cable pulled"})
        view.show(moment(420, 21_000))
        assert next_event(stream)[1]["tasks"][1][3] == "20.0"


def test_the_end_of_the_monitor_ends_the_stream():
    with WebView(0) as view:
        view.show(moment())
        stream = request(view, "/events")
        next_event(stream)
    rest = stream.read()
    assert rest == b"" or rest.startswith(b"event: figures")


def test_only_this_machine_by_its_own_name_is_served():
    with WebView(0) as view:
        assert view.url.startswith("http://127.0.0.1:")
        port = view.url.rstrip("/").rpartition(":")[2]
        assert request(view).status == 200
        assert request(view, host=f"localhost:{port}").status == 200
        assert request(view, host="evil.example").status == 403
        assert request(view, "/events", host=f"evil.example:{port}").status == 403
        assert request(view, "/../etc/passwd").status == 404


def test_the_page_allows_nothing_from_elsewhere():
    with WebView(0) as view:
        page = request(view)
        policy, text = page.getheader("Content-Security-Policy"), page.read().decode()
        other = request(view).getheader("Content-Security-Policy")
    assert "default-src 'none'" in policy and "connect-src 'self'" in policy
    nonce = policy.split("'nonce-")[1].split("'")[0]
    assert f'<script nonce="{nonce}">' in text and nonce not in other
    assert "http://" not in text and "https://" not in text


def test_a_taken_port_is_told():
    with WebView(0) as view:
        port = int(view.url.rstrip("/").rpartition(":")[2])
        with pytest.raises(MissingError, match="cannot be opened") as caught:
            WebView(port)
    assert "--web-port" in caught.value.remedy


def test_a_name_from_a_board_stays_text_in_the_figures():
    hostile = "<img src=x onerror=alert(1)>"
    sample = moment(late=1)
    sample = replace(sample, tasks=tuple(replace(task, name=hostile) for task in sample.tasks))
    for figure in (figure_data(sample)["miss"], *figure_data(sample)["tasks"]):
        assert "<img" not in figure["svg"]
    assert frame_data(sample, Loads())["tasks"][0][0] == hostile, (
        "escaped by textContent in the page"
    )


def hidden(browser):
    return browser.value("getComputedStyle(document.getElementById('lost')).display") == "none"


@pytest.mark.skipif(PROGRAM is None, reason="no chromium on this machine")
@pytest.mark.parametrize(("width", "dark"), [(1100, False), (480, True)])
def test_a_browser_shows_the_board_live(tmp_path, width, dark):
    view = WebView(0)
    with Browser(tmp_path / "profile", width, 1400, dark) as browser:
        with view:
            view.show(moment(400, 20_000))
            browser.open(view.url)
            browser.wait("document.querySelectorAll('#figures svg').length === 2")
            assert (
                browser.value("document.getElementById('title').textContent")
                == "demo 1.0.0 on qemu-m4"
            )
            assert browser.value("document.getElementById('miss').hidden") is True
            view.show(moment(420, 21_000, late=2))
            browser.wait("document.querySelectorAll('#miss svg').length === 1")
            cells = browser.value(
                "[...document.querySelectorAll('#tasks tr')[1].cells].map(c => c.textContent)"
            )
            assert cells[:4] == ["digits", "50.00", "40.00", "20.0"] and cells[6] == "2"
            words = browser.value("document.getElementById('miss-words').textContent")
            assert words.startswith("digits job 62 ended 2.500 ms after its deadline")
            assert "deadline 40.00 ms" in browser.value(
                "document.getElementById('figures').textContent"
            )
            assert hidden(browser)
            assert browser.value("document.documentElement.scrollWidth") <= width, (
                "scrolls sideways"
            )
            browser.picture(tmp_path / "page.png")
            assert (tmp_path / "page.png").stat().st_size > 20_000
            view.lost("cable pulled")
            browser.wait("document.getElementById('lost').textContent.endsWith('cable pulled')")
            assert not hidden(browser)
            view.show(moment(440, 22_000))
            browser.wait("document.getElementById('lost').textContent === ''")
        browser.wait(
            "document.getElementById('lost').textContent.startsWith('The monitor has ended')"
        )


@pytest.mark.skipif(PROGRAM is None, reason="no chromium on this machine")
def test_a_hostile_name_stays_text_in_a_browser(tmp_path):
    hostile = "<img src=x onerror='window.hit=1'>"
    sample = moment(late=1)
    sample = replace(sample, tasks=tuple(replace(task, name=hostile) for task in sample.tasks))
    with Browser(tmp_path / "profile", 900, 900) as browser, WebView(0) as view:
        view.show(sample)
        browser.open(view.url)
        browser.wait("document.querySelectorAll('#miss svg').length === 1")
        assert browser.value("document.images.length") == 0
        assert browser.value("typeof window.hit") == "undefined"
