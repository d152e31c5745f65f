# Copyright 2026 The ivm_ros authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""The page of `ivm audit` in a real browser: keys, reload, two reviewers, files read back."""

from collections.abc import Iterator
import json
from pathlib import Path
import shutil
import time

import numpy as np
import pytest

from ivm_ros.cli import main
from ivm_ros.data.shards import encode_image, encode_mask, Row, write_info, write_shard

webdriver = pytest.importorskip(
    'selenium.webdriver', reason='selenium drives the browser: pip install "ivm_ros[test]"')
BROWSER = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))),
               None)
DRIVER = shutil.which('chromedriver')
pytestmark = [pytest.mark.slow, pytest.mark.skipif(
    not (BROWSER and DRIVER), reason='no Chromium with its chromedriver here; on Debian '
    'apt-get install chromium chromium-driver')]

TEXTS = ['take the cup', '</script><script>document.title = "hit"</script>',
         '<img src=x onerror="document.title = \'hit\'">', '{{ 7 * 7 }} & "quotes" \u2028 \u00e9',
         'take the pan', 'take the pot']
WAIT = 60  # seconds for what takes a moment, on a machine that is busy with other things


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    """Write six labels, three of people, and the page of them."""
    folder = tmp_path_factory.mktemp('data')
    rows = []
    for number, text in enumerate(TEXTS):
        mask = np.zeros((48, 64), bool)
        mask[10:30, 10:40] = number != 4
        image = np.full((48, 64, 3), 40 * number, np.uint8)
        rows.append(Row(f'1-{number:07d}-0', encode_image(image), text, 'plain',
                        encode_mask(mask), None, bool(mask.any()), 'shop',
                        'person' if number < 3 else 'compact', number < 3))
    write_shard(folder / 'shard-00000.parquet', rows)
    write_info(folder, {})
    assert main(['audit', str(folder), '--out', str(folder / 'audit.html')]) == 0
    return folder


class Page:
    """The page in a browser whose profile is its own."""

    def __init__(self, path: Path, saved: Path) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = BROWSER
        for argument in ('--headless=new', '--no-sandbox', '--disable-dev-shm-usage',
                         '--disable-gpu', '--window-size=1280,860'):
            options.add_argument(argument)
        options.add_experimental_option('prefs', {'download.default_directory': str(saved)})
        options.set_capability('goog:loggingPrefs', {'browser': 'ALL'})
        self.saved, self.driver = saved, webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
        self.driver.get(path.as_uri())

    def press(self, *keys: str) -> None:
        """Press keys, one after the other, wherever the focus is."""
        webdriver.ActionChains(self.driver).send_keys(*keys).perform()

    def at(self, name: str):
        """Find an element by its id."""
        return self.driver.find_element('id', name)

    def text(self) -> str:
        """Read the instruction that is shown, without its quotes."""
        return self.at('text').get_property('textContent')[1:-1]

    def save(self, name: str) -> Path:
        """Press the button, and wait for the file."""
        path = self.saved / name
        self.at('save').click()
        until = time.monotonic() + WAIT
        while not path.is_file() and time.monotonic() < until:
            time.sleep(.05)
        return path


@pytest.fixture
def page(data, tmp_path) -> Iterator[Page]:
    """Open the page."""
    opened = Page(data / 'audit.html', tmp_path)
    yield opened
    opened.driver.quit()


def test_two_reviewers_judge_by_keys_reload_save_and_are_read_back(page, data, tmp_path, capsys):
    page.press('Gus W')  # letters in the name are no verdicts
    assert page.at('count').text == '0 of 6 judged' and page.at('desk').is_displayed() is False
    page.press(webdriver.Keys.ENTER)
    order = [page.text()]
    for key in 'guwgg':
        page.press(key)
        order.append(page.text())
    assert sorted(order) == sorted(TEXTS) and page.at('count').text == '5 of 6 judged'
    assert page.driver.title == 'Audit of 6 labels'  # nothing of an instruction ran

    page.press(webdriver.Keys.ARROW_LEFT, webdriver.Keys.BACKSPACE)
    assert page.text() == order[3]
    assert page.at('good').get_attribute('aria-pressed') == 'true'
    page.press('w')  # another opinion
    assert page.text() == order[4] and page.at('count').text == '5 of 6 judged'

    page.driver.refresh()
    assert page.at('who').text == 'Gus W' and page.at('count').text == '5 of 6 judged'
    assert page.text() == order[5]  # the one that is left
    assert not page.at('done').is_displayed()
    page.press('u')
    assert page.at('done').is_displayed() and page.at('bar').get_attribute('value') == '6'
    first = page.save('verdicts-Gus-W.json')
    told = json.loads(first.read_text())
    said = dict(zip(told['items'], ['good', 'usable', 'wrong', 'wrong', 'good', 'usable']))
    assert told['verdicts'] == said and told['reviewer'] == 'Gus W'

    page.at('change').click()  # the next one sees nothing of it
    page.press('Zoë', webdriver.Keys.ENTER)
    assert page.at('count').text == '0 of 6 judged' and page.text() == order[0]
    page.press('g', webdriver.Keys.ARROW_RIGHT, 'w', webdriver.Keys.ARROW_RIGHT, 'g')
    second = page.save('verdicts-Zoë.json')
    assert json.loads(second.read_text())['verdicts'] == {
        told['items'][0]: 'good', told['items'][2]: 'wrong', told['items'][4]: 'good'}
    severe = [line for line in page.driver.get_log('browser') if line['level'] == 'SEVERE']
    assert not severe

    out = tmp_path / 'figures.json'
    assert main(['audit', str(data), '--verdicts', str(first), str(second), '--json',
                 str(out)]) == 0
    figures = json.loads(out.read_text())
    people = figures['sources']['human: person on shop']['reviewers']['Gus W']
    mine = [said[f'1-{number:07d}-0'] for number in range(3)]
    assert [people[word]['n'] for word in ('good', 'usable', 'wrong')] == [
        mine.count(word) for word in ('good', 'usable', 'wrong')]
    assert figures['agreement'][0]['both'] == 3 and figures['agreement'][0]['kappa'] == 1
    assert "Gus W and Zoë: Cohen's kappa 1.000" in capsys.readouterr().out


def test_picture_and_outline_are_shown_and_nothing_is_asked_of_a_network(page):
    page.press('Ann', webdriver.Keys.ENTER)
    sizes = page.driver.execute_async_script(
        'const done = arguments[0]; Promise.all([...document.images].map(i => i.decode())).then('
        '() => done([...document.images].map(i => [i.naturalWidth, i.naturalHeight])))')
    assert sizes == [[64, 48], [64, 48], [640, 480]]
    for _ in TEXTS:
        empty = page.text() == TEXTS[4]
        assert page.at('said').text == ('label: nothing of it is in view' if empty else
                                        'label: 19.5% of the picture')
        page.press(webdriver.Keys.ARROW_RIGHT)
    asked = page.driver.execute_script(
        "return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert [name for name in asked if not name.startswith('data:')] == []


@pytest.mark.parametrize('broken', [
    "Object.defineProperty(window, 'localStorage', {get() { throw Error('forbidden'); }})",
    "Storage.prototype.setItem = () => { throw Error('full'); }"], ids=['forbidden', 'full'])
def test_a_page_whose_browser_keeps_nothing_says_so(page, broken):
    page.driver.execute_cdp_cmd('Page.addScriptToEvaluateOnNewDocument', {'source': broken})
    page.driver.refresh()
    page.press('Ann', webdriver.Keys.ENTER)
    page.press('g')
    assert page.at('lost').is_displayed() and page.at('count').text == '1 of 6 judged'
    assert page.save('verdicts-Ann.json').is_file()
