"""The page in headless Chromium: as a user opens it, without a network."""

from __future__ import annotations

import re
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from support.browser import Browser
from support.invented_runs import COMMAND, NO_SYMBOLS, SUMMARY, data_of, few_happenings, many_happenings

from minstret.emu.door.door import Position
from minstret.emu.questions import happenings as h
from minstret.emu.questions.page.lanes import Lanes
from minstret.emu.questions.page.render import Difference, Summary, page

FRAME_MS = 100
MANY = 100_000
CHOSEN = "return [window.minstret.timeline.chosen.lane.name, window.minstret.timeline.chosen.i]"
VIEW = "const v = window.minstret.timeline.view; return [v.from, v.to]"
HOSTILE = (
    b"<script>window.hacked = 1</script>\r\n<img src=x onerror='window.hacked = 2'>\r\n"
    b"\x1b]0;title\x07\x1b[2J\xff\xfe\x00</pre></body>\r\n--><!--\r\n&lt;b&gt;\r\n\xe2\x80\xaereversed\r\n"
)
SHOW = "const r = arguments[0].getBoundingClientRect(); return r.width > 0 && r.height > 0"
"""Whether an element is there to be seen."""


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with one event of each kind."""
    path = tmp_path_factory.mktemp("few") / "few.html"
    path.write_text(page([(SUMMARY, data_of(few_happenings()))], version="1.2"))
    return path


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with so many events that few can be told from each other."""
    path = tmp_path_factory.mktemp("many") / "many.html"
    path.write_text(page([(SUMMARY, data_of(many_happenings(MANY)))]))
    return path


def lane(chromium: Browser, name: str) -> Any:
    """The button of a lane, in the middle of the window."""
    return chromium.run(
        "const { button } = window.minstret.timeline.lanes.find((one) => one.name === arguments[0]);"
        "button.scrollIntoView({ block: 'center' }); return button",
        name,
    )


def test_page_opens_from_a_file_and_the_browser_complains_of_nothing(chromium: Browser, few: Path) -> None:
    chromium.open(few)

    assert chromium.complaints() == []
    assert chromium.text(".headline") == "✓ finished, exit code 0"
    assert "hart0: pc 0x80000200" in chromium.text(".lines")
    assert "run.mst" in chromium.driver.title
    assert "hello <script>alert(1)</script>" in chromium.text(".console")


def test_page_loads_nothing_from_anywhere(few: Path) -> None:
    text = few.read_text()

    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; script-src 'sha256-")
    loading = re.findall(r"<[^>]*\b(?:src|href|action|srcset|poster|data)=[^>]*>", text)
    assert loading == ['<a class="skip" href="#tables">']
    assert "url(" not in text
    assert "@import" not in text


def test_click_on_an_event_gives_its_place_and_the_command_that_debugs_there(chromium: Browser, few: Path) -> None:
    chromium.open(few)
    x, y = chromium.run(
        "const t = window.minstret.timeline, one = t.lanes.find((lane) => lane.name === 'illegal instruction');"
        "return [t.view.xOf(one.ns[0]), one.top + one.height / 2]"
    )

    chromium.click("#canvas", x, y)

    shown = chromium.text("#details-body")
    assert chromium.run(CHOSEN) == ["illegal instruction", 0]
    assert "illegal instruction (2) at 0x80000020, tval 0xffffffff" in shown
    assert "4,000" in shown
    assert "0.000032000 s" in shown
    assert chromium.text(".command code") == "minstret debug --at 4000 run.mst"
    assert "8000000c" in chromium.text(".registers")
    assert chromium.text(".registers").startswith("pc")


def test_command_is_copied(chromium: Browser, few: Path) -> None:
    chromium.open(few)
    chromium.run("document.execCommand = () => true")
    lane(chromium, "reset").click()
    chromium.click(".command button")

    chromium.wait("return document.querySelector('.command button').textContent === 'Copied'")


def test_keys_go_from_event_to_event_and_from_lane_to_lane(chromium: Browser, many: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    chromium.open(many)
    chromium.run("arguments[0].focus()", lane(chromium, "timer3"))
    count = chromium.run("return window.minstret.timeline.lanes.find((one) => one.name === 'timer3').kept")
    chromium.keys(Keys.HOME)
    assert chromium.run(CHOSEN) == ["timer3", 0]
    chromium.keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_LEFT)
    assert chromium.run(CHOSEN) == ["timer3", 1]
    chromium.keys(Keys.END)
    assert chromium.run(CHOSEN) == ["timer3", count - 1]

    before = chromium.run("return document.activeElement.lane.name")
    chromium.keys(Keys.TAB)
    after = chromium.run("return document.activeElement.lane.name")
    assert (before, after != before) == ("timer3", True)
    assert chromium.run("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert "icount" in chromium.run("return document.getElementById('live').textContent")


def test_keys_zoom_and_move_the_view(chromium: Browser, many: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    chromium.open(many)
    first, last = chromium.run(VIEW)
    chromium.keys("+", "+")
    left, right = chromium.run(VIEW)
    assert first < left < right < last
    chromium.keys(Keys.ARROW_RIGHT, held=Keys.SHIFT)
    assert chromium.run(VIEW)[0] > left
    chromium.keys("-", "0")
    assert chromium.run(VIEW) == [first, last]


def test_wheel_zooms_around_the_pointer(chromium: Browser, many: Path) -> None:
    chromium.open(many)
    wheel = (
        "const c = document.getElementById('ruler'), r = c.getBoundingClientRect(), v = window.minstret.timeline.view;"
        "const before = v.valueAt(200);"
        "c.dispatchEvent(new WheelEvent('wheel', {deltaY: -300, clientX: r.left + 200, clientY: r.top + 5,"
        " cancelable: true})); return [before, v.valueAt(200), v.span]"
    )

    before, after, span = chromium.run(wheel)

    assert before == pytest.approx(after)
    assert span < chromium.run("const v = window.minstret.timeline.view; return v.most - v.least") * 0.7


def test_drag_moves_what_is_under_the_pointer(chromium: Browser, many: Path) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    chromium.open(many)
    chromium.keys("+", "+", "+")
    before = chromium.run("return window.minstret.timeline.view.valueAt(300)")
    canvas = chromium.find("#canvas")
    box = chromium.run("const r = arguments[0].getBoundingClientRect(); return [r.left, r.top]", canvas)
    pointer = ActionChains(chromium.driver, duration=0)
    move = pointer.w3c_actions.pointer_action
    move.move_to_location(round(box[0]) + 300, round(box[1]) + 100)
    move.pointer_down()
    move.move_to_location(round(box[0]) + 340, round(box[1]) + 100)
    move.move_to_location(round(box[0]) + 400, round(box[1]) + 100)
    move.pointer_up()
    pointer.perform()

    after = chromium.run("return window.minstret.timeline.view.valueAt(400)")
    assert after == pytest.approx(before, rel=0.02)


def test_two_fingers_zoom(chromium: Browser, many: Path) -> None:
    chromium.open(many)
    span = chromium.run("return window.minstret.timeline.view.span")
    chromium.run(
        "const c = document.getElementById('canvas'), r = c.getBoundingClientRect(); c.setPointerCapture = () => {};"
        "const at = (type, id, x) => c.dispatchEvent(new PointerEvent(type, {pointerId: id, pointerType: 'touch',"
        " clientX: r.left + x, clientY: r.top + 50, button: type === 'pointermove' ? -1 : 0}));"
        "at('pointerdown', 1, 200); at('pointerdown', 2, 300); at('pointermove', 1, 100); at('pointermove', 2, 400);"
        "at('pointerup', 1, 100); at('pointerup', 2, 400);"
    )

    assert chromium.run("return window.minstret.timeline.view.span") == pytest.approx(span / 3, rel=0.05)


def test_pointer_along_the_ruler_goes_along_the_events(chromium: Browser, few: Path) -> None:
    chromium.open(few)
    x = chromium.run("return window.minstret.timeline.view.xOf(12500 * 8)")

    chromium.click("#ruler", round(x), 15)

    assert chromium.run(CHOSEN) == ["typed", 0]


def test_search_finds_console_events_and_places(chromium: Browser, few: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    chromium.open(few)
    chromium.keys("/")
    chromium.keys("alert(1)")
    chromium.keys(Keys.ENTER)
    assert chromium.text("#matches") == "1 of 2"
    assert chromium.find(".console li .found").text == "hello <script>alert(1)</script>"
    for sought, count in (("KEY_A", "1"), ("DHCP DISCOVER", "2"), ("0x80000020", "1"), ("clint.mtimecmp", "1")):
        chromium.find("#search").clear()
        chromium.find("#search").send_keys(sought, Keys.ENTER)
        assert chromium.text("#matches") == f"1 of {count}"
    chromium.find("#search").clear()
    chromium.find("#search").send_keys("nothing of the kind", Keys.ENTER)
    assert chromium.text("#matches") == "no match"


def test_hundred_thousand_events_are_drawn_within_a_tenth_of_a_second(chromium: Browser, many: Path) -> None:
    chromium.open(many)
    chromium.run("window.minstret.timeline.draws.length = 0")
    frames = chromium.run_slowly(
        "const v = window.minstret.timeline.view, frames = []; let at = 0, last = performance.now();"
        "function step(now) {"
        "  if (at++ >= 90) return done(frames.slice(5));"
        "  frames.push(performance.now() - last); last = performance.now();"
        "  if (at % 3) v.move(at < 45 ? 0.02 : -0.02); else v.zoom(at < 45 ? 1.3 : 1 / 1.3);"
        "  requestAnimationFrame(step); } requestAnimationFrame(step);"
    )
    draws = sorted(chromium.run("return window.minstret.timeline.draws"))

    assert len(draws) > 60
    assert median(draws) <= FRAME_MS
    assert draws[len(draws) * 9 // 10] <= FRAME_MS
    assert median(frames) <= FRAME_MS


def test_all_events_are_kept_up_to_a_limit_and_the_page_says_what_is_not(chromium: Browser, tmp_path: Path) -> None:
    lanes = Lanes(Position(0, 0))
    for number in range(20_000):
        lanes.take(h.TimerFired(10 * number, 80 * number, None, "tick", "virtual", False, 0))
    data = lanes.data("run.mst", COMMAND, Position(200_000, 1_600_000), NO_SYMBOLS)
    path = tmp_path / "thinned.html"
    path.write_text(page([(SUMMARY, data)]))

    chromium.open(path)

    assert re.search(r"Timers, tick: [\d,]+ of 20,000", chromium.text("#thinned"))
    assert chromium.run(
        "const l = window.minstret.timeline.lanes.find((one) => one.name === 'tick');return l.before[l.kept]"
    ) == 20_000  # fmt: skip


def test_tables_have_the_same_events_in_order(chromium: Browser, few: Path) -> None:
    chromium.open(few)
    tables = chromium.driver.find_elements("css selector", ".events")
    for table in tables:
        table.find_element("css selector", "summary").click()
    chromium.wait("return [...document.querySelectorAll('.events')].every((one) => one.querySelector('tbody'))")
    traps = next(table for table in tables if table.text.startswith("Exceptions"))

    assert "4,000 0.000032000 s" in traps.text
    assert traps.find_element("css selector", "th").get_attribute("scope") == "col"
    traps.find_element("css selector", "td button").click()
    assert chromium.run(CHOSEN) == ["illegal instruction", 0]


def test_hostile_guest_stays_text(chromium: Browser, tmp_path: Path) -> None:
    evil = "<img src=x onerror=window.hacked=3>"
    happenings = [
        h.ConsoleOut(10, 80, 0, HOSTILE),
        h.ConsoleIn(20, 160, None, HOSTILE),
        h.TimerFired(30, 240, None, evil, evil, False, 0),
        h.Sent(40, 320, 0, HOSTILE, evil),
        h.LineChanged(50, 400, None, evil, True),
        h.Ended(60, 480, 0, evil, None, evil, 0),
    ]
    summary = Summary(f"{evil}.mst", f"</p>{evil}", "bad", [(evil, evil)], [f"</pre>{evil}", "\x1b[2J\u202e"])
    data = data_of(happenings, name=evil) | {"command": [f"{evil} ", evil]}
    path = tmp_path / "hostile.html"
    path.write_text(
        page([(summary, data), (summary, data)], Difference(evil, [f"</pre>{evil}"], 20, 160), version=evil)
    )

    chromium.open(path)
    for table in chromium.driver.find_elements("css selector", ".events > summary"):
        table.click()
    lane(chromium, evil).click()

    assert chromium.complaints() == []
    assert chromium.run("return window.hacked ?? 0") == 0
    assert chromium.run("return document.images.length + document.scripts.length") == 2
    shown = chromium.text(".console")
    assert "<script>window.hacked = 1</script>" in shown
    assert "\u241b]0;title\u2407\u241b[2J\ufffd\ufffd\u2400</pre></body>" in shown
    assert "&lt;b&gt;" in shown
    assert "\u202e" not in chromium.run("return document.body.textContent")


@pytest.mark.parametrize("width", [320, 360, 768])
def test_page_is_no_wider_than_a_phone(chromium: Browser, few: Path, width: int) -> None:
    chromium.open(few, width, 700)
    lane(chromium, "illegal instruction").click()

    assert chromium.run("return document.documentElement.scrollWidth") <= width
    assert chromium.run("return document.getElementById('canvas').clientWidth") > width * 0.4


def contrast(one: str, other: str) -> float:
    """Of two colours ``rgb(...)``, as WCAG 2 has it."""

    def luminance(colour: str) -> float:
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


COLOURS = (
    "const made = document.createElement('i'); document.body.append(made); const found = {};"
    "for (const name of ['paper', 'ink', 'quiet', 'band', 'raised', 'accent', 'good', 'bad', 'mark', 'harts', 'traps',"
    " 'interrupts', 'lines', 'timers', 'external', 'console', 'input', 'network', 'trace']) {"
    " made.style.color = `var(--${name})`; found[name] = getComputedStyle(made).color; }"
    "made.remove(); return found"
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_can_be_read_by_day_and_by_night(chromium: Browser, few: Path, scheme: str) -> None:
    chromium.open(few)
    chromium.media(scheme=scheme)
    chromium.wait(f"return matchMedia('(prefers-color-scheme: {scheme})').matches")
    colours = chromium.run(COLOURS)

    assert (contrast(colours["paper"], "rgb(0, 0, 0)") < 2) == (scheme == "dark")
    backgrounds = [colours.pop(name) for name in ("paper", "band", "raised")]
    mark = colours.pop("mark")
    assert contrast(colours["ink"], mark) >= 4.5
    weak = {
        name: colour for name, colour in colours.items() for ground in backgrounds if contrast(colour, ground) < 4.5
    }
    assert weak == {}
    chromium.wait(  # the page hears of it a moment later
        "return window.minstret.timeline.colours.get('ink')"
        " === getComputedStyle(document.documentElement).getPropertyValue('--ink').trim()"
    )


def test_each_kind_of_lane_has_a_shape_of_its_own(chromium: Browser, few: Path) -> None:
    chromium.open(few)

    marks = chromium.run(
        "const groups = window.minstret.timeline.groups;"
        "return groups.map((group) => [group.id, [...new Set(group.lanes.map((one) => one.mark))]])"
    )
    shapes = dict(marks)
    assert shapes["traps"] != shapes["interrupts"] != shapes["timers"] != shapes["traps"]
    assert shapes["network"] == ["sent", "received"]


def test_paper_has_summary_console_and_tables_and_no_dead_controls(chromium: Browser, few: Path) -> None:
    chromium.open(few)
    chromium.media("print")
    chromium.run("window.dispatchEvent(new Event('beforeprint'))")

    def is_seen(selector: str) -> bool:
        return any(chromium.run(SHOW, one) for one in chromium.driver.find_elements("css selector", selector))

    assert all(map(is_seen, (".headline", ".lines", ".console li", ".events td")))
    assert not any(map(is_seen, (".toolbar", "#canvas", ".details", ".pager", ".help")))
    assert "illegal instruction (2)" in chromium.text("#table-list")
    chromium.run("window.dispatchEvent(new Event('afterprint'))")
    chromium.media()
    assert chromium.driver.find_elements("css selector", ".events[open]") == []


def test_two_runs_are_beside_each_other_with_the_first_difference(chromium: Browser, tmp_path: Path) -> None:
    one = few_happenings()
    other = [*one[:9], h.HartWaits(9_100, 72_800, 1, True, 0x80000048), *one[10:]]
    difference = Difference("They differ first at icount 9,100", ["a0 is 1 in A, 2 in B"], 9_100, 72_800)
    path = tmp_path / "two.html"
    runs = [
        (SUMMARY, data_of(one)),
        (Summary("b.mst", "trap loop", "bad", [("virtual time", "1 s")]), data_of(other, name="b.mst")),
    ]
    path.write_text(page(runs, difference))

    chromium.open(path)

    assert chromium.complaints() == []
    assert "They differ first at icount 9,100" in chromium.text(".difference h2")
    assert "a0 is 1 in A, 2 in B" in chromium.text(".difference .lines")
    assert len(chromium.driver.find_elements("css selector", ".console")) == 2
    names = [button.text.partition("\n")[0] for button in chromium.driver.find_elements("css selector", ".lane")]
    assert names[:4] == ["A hart0", "B hart0", "A hart1", "B hart1"]
    assert chromium.run("return window.minstret.timeline.difference.icount") == 9_100


def test_axis_may_be_instructions(chromium: Browser, few: Path) -> None:
    from selenium.webdriver.support.ui import Select

    chromium.open(few)
    Select(chromium.find("#axis")).select_by_value("icount")
    x, y = chromium.run(
        "const t = window.minstret.timeline, one = t.lanes.find((lane) => lane.name === 'reset');"
        "return [t.view.xOf(21000), one.top + one.height / 2]"
    )
    chromium.click("#canvas", x, y)

    assert chromium.run(CHOSEN) == ["reset", 0]


def test_run_of_nothing_has_a_page_too(chromium: Browser, tmp_path: Path) -> None:
    path = tmp_path / "nothing.html"
    path.write_text(page([(SUMMARY, Lanes(Position(0, 0)).data("a", COMMAND, Position(0, 0), NO_SYMBOLS))]))

    chromium.open(path)

    assert chromium.complaints() == []
    assert "The guest wrote nothing." in chromium.text(".console")
