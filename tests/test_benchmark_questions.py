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
"""V*Bench, POPE, MME and EgoThink in their true formats, asked of a real server on loopback."""

import json
from pathlib import Path
import socket

import cv2
import numpy as np
import pytest

from ivm_ros.chat import Chat, ChatConfig, LlmError
from ivm_ros.cli import main
from ivm_ros.config import ConfigError
from ivm_ros.data.shards import DatasetError
from ivm_ros.evaluate.answers import letter_of, yes_no_of
from ivm_ros.evaluate.asking import Asking, Plan
from ivm_ros.evaluate.benchmark import BenchmarkConfig, SHOWN
from ivm_ros.evaluate.gallery import Gallery
from ivm_ros.evaluate.paired import figures_of, interval, mcnemar, spent
from ivm_ros.evaluate.published import published, VSTAR_ROWS
from ivm_ros.evaluate.questions import egothink_items, mme_items, pope_items, vstar_items
from ivm_ros.evaluate.references import hsv_words
from ivm_ros.evaluate.sources import Source

HINT = "Answer with the option's letter from the given choices directly."
OPTIONS = (('A', 'rubber'), ('B', 'cotton'), ('C', 'red'), ('D', 'not red'))


def paint(path: Path, shift: int = 0) -> None:
    """Write a grey picture with a small red block and a large blue one."""
    image = np.full((96, 128, 3), 128, np.uint8)
    image[10 + shift:26 + shift, 8:24] = (220, 20, 20)
    image[30:80, 70:120] = (20, 40, 220)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 100])


@pytest.fixture
def vstar(tmp_path) -> Path:
    """Write V*Bench: ten questions, of which two ask after the blue block; a picture is lost."""
    root, lines = tmp_path / 'vstar_bench', []
    for number in range(11):
        category = 'direct_attributes' if number % 2 else 'relative_position'
        name = f'{category}/sa_{number}.jpg'
        if number < 10:
            paint(root / name, number)
        colour = 'red' if number < 8 else 'blue'
        lines.append({'image': name, 'category': category, 'label': 'A', 'question_id': number,
                      'text': f'What is the material of the {colour} block?\n(A) rubber\n'
                              f'(B) cotton\n(C) kevlar\n(D) leather\n{HINT}'})
        (root / name).with_suffix('.json').write_text(json.dumps(
            {'target_object': ['block'], 'bbox': [[8, 10, 16, 16]], 'question': 'What?',
             'options': ['rubber', 'cotton', 'kevlar', 'leather']}))
    (root / 'test_questions.jsonl').write_text('\n'.join(map(json.dumps, lines)))
    return root


@pytest.fixture
def pope(tmp_path) -> Path:
    """Write POPE: three subsets of two questions each, half of them the same."""
    root = tmp_path / 'POPE'
    paint(root / 'val2014' / 'COCO_val2014_000000000001.jpg')
    for split, thing in (('random', 'zebra'), ('popular', 'person'), ('adversarial', 'mouse')):
        lines = [{'question_id': number, 'image': 'COCO_val2014_000000000001.jpg', 'image_id': 1,
                  'text': f'Is there a {name} in the image?', 'label': label}
                 for number, (name, label) in enumerate((('block', 'yes'), (thing, 'no')))]
        path = root / 'output' / 'coco' / f'coco_pope_{split}.json'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('\n'.join(map(json.dumps, lines)) + '\n')
    return root


@pytest.fixture
def mme(tmp_path) -> Path:
    """Write MME: a task of either layout, and a file that is no question."""
    root = tmp_path / 'MME_Benchmark_release_version'
    paint(root / 'color' / '0006.jpg')
    (root / 'color' / '0006.txt').write_text(
        'Is there a red block in the image? Please answer yes or no.\tYes\n'
        'Is there a green block in the image? Please answer yes or no.\tNo\n')
    paint(root / 'artwork' / 'images' / '10002.jpg')
    folder = root / 'artwork' / 'questions_answers_YN'
    folder.mkdir()
    (folder / '10002.txt').write_text(
        'Does this artwork show a block? Please answer yes or no.\tYes\r\n'
        'Does this artwork show a horse? Please answer yes or no.\tNo\r\n')
    (root / 'eval_tool').mkdir()
    (root / 'eval_tool' / 'color.txt').write_text('0006.jpg\tIs there?\tYes\tno\n')
    return root


@pytest.fixture
def egothink(tmp_path) -> Path:
    """Write EgoThink: two categories, one of them nested; an entry without a picture."""
    root = tmp_path / 'EgoThink'
    entry = {'source_dataset': 'ego4d', 'question': 'What am I doing?', 'answer': 'cooking'}
    for category in ('Activity', 'Object/attribute'):
        paint(root / category / 'images' / '1.jpg')
        (root / category / 'annotations.json').write_text(json.dumps(
            [{**entry, 'image_path': ['1.jpg']}, {**entry, 'image_path': []}]))
    return root


def looks(picture_in):
    """Answer by looking: A where nothing blue is to be seen, else B."""
    def answer(body):
        picture = picture_in(body).astype(int)
        blue = (picture[..., 2] > 150) & (picture[..., 2] - picture[..., 0] > 60)
        return 'B' if blue.mean() > .01 else '(A) rubber'
    return answer


@pytest.fixture
def ask(tmp_path):
    """Give a function that asks items, with masks by colour words; return answers and asking."""
    def run(server, items, source, **more):
        config = ChatConfig(server.url, 'm', retries=0, pause=0)
        plan = Plan(Chat(config, tmp_path / 'cache'), SHOWN, **more)
        asking = Asking(plan, source, hsv_words, Gallery(2))
        return list(asking.run(items)), asking
    return run


@pytest.mark.slow
def test_raw_and_every_masked_picture_are_asked_and_paired(vstar, serve, picture_in, ask):
    server, source = serve(looks(picture_in), .05), Source(vstar)
    answers, asking = ask(server, vstar_items(source), source, parallel=3, most=7)
    figures = figures_of(answers, SHOWN)
    row = figures['all']
    assert (row['n'], row['raw']['accuracy']) == (10, 0)
    assert set(figures) == {'all', 'direct_attributes', 'relative_position'}
    for method in SHOWN:  # blurred blue is still blue; two ask for the blue block, which stays
        right = 0 if method == 'blur' else 8
        found = row['methods'][method]
        assert (found['gained'], found['lost'], found['delta']) == (right, 0, right / 10), method
        assert found['mcnemar_p'] == (2 * .5 ** right if right else 1)
        assert found['ci95'] == interval(right, 10)
        assert found['tokens'] == {'asked': 1000, 'said': 30, 'untold': 0}
    assert 1 < server.most <= 3
    assert server.requests[0]['max_tokens'] == 7 and server.requests[0]['temperature'] == 0
    assert [entry['name'] for entry in source.lost] == ['relative_position/sa_10.jpg']
    best, worst = (asking.gallery.sections[name][0].note for name in ('best', 'worst'))
    assert "overlay: '(A) rubber' (1)" in best and "overlay: 'B' (0)" in worst
    first = spent(answers)
    sent = len(server.requests)  # some crops of two questions are the same picture
    assert first['requests'] == sent < 70 and first['asked'] == 100 * sent
    assert first['requests'] + first['remembered'] == 10 * (1 + len(SHOWN))
    # A run that goes on asks nothing anew.
    again, _ = ask(server, vstar_items(source), source, most=7)
    assert figures_of(again, SHOWN) == figures and len(server.requests) == sent
    assert spent(again) == {'requests': 0, 'remembered': 70, 'asked': 0, 'said': 0, 'untold': 0}


def test_a_picture_that_stays_as_it_is_is_paid_for_once(vstar, serve, picture_in, ask):
    server, source = serve(looks(picture_in)), Source(vstar, items=1)
    items = list(vstar_items(source))[:1]
    config = ChatConfig(server.url, 'm')
    plan = Plan(Chat(config, vstar / 'cache'), SHOWN)

    def sees_nothing(image, sentence):
        return hsv_words(image, 'green')  # there is none

    answers = list(Asking(plan, source, sees_nothing, Gallery(0)).run(items))
    assert len(server.requests) == 1 and not answers[0].found
    assert {outcome.text for outcome in answers[0].outcomes.values()} == {'B'}


def test_sets_are_read_as_released(vstar, pope, mme, egothink):
    first = next(vstar_items(Source(vstar)))
    assert (first.question, first.truth) == ('What is the material of the red block?', 'A')
    assert first.prompt.endswith(HINT) and first.options[3] == ('D', 'leather')
    asked = list(pope_items(Source(pope)))
    assert [item.split for item in asked] == ['random'] * 2 + ['popular'] * 2 + ['adversarial'] * 2
    assert asked[1].prompt == 'Is there a zebra in the image? Answer yes or no.'
    assert asked[1].truth == 'no' and asked[1].path.is_file()
    asked = list(mme_items(Source(mme)))
    assert [(item.split, item.truth, item.path.name) for item in asked] == [
        ('artwork', 'yes', '10002.jpg'), ('artwork', 'no', '10002.jpg'),
        ('color', 'yes', '0006.jpg'), ('color', 'no', '0006.jpg')]
    assert asked[3].question == 'Is there a green block in the image?'
    asked = list(egothink_items(Source(egothink)))
    assert [(item.split, item.truth, item.path.is_file()) for item in asked] == [
        ('Activity', 'cooking', True), ('Activity', 'cooking', False),
        ('Object/attribute', 'cooking', True), ('Object/attribute', 'cooking', False)]


@pytest.mark.parametrize(('read', 'said'), [
    (vstar_items, r'is not V\*Bench: looked for test_questions\.jsonl, direct_attributes'),
    (pope_items, r'is not POPE: looked for coco_pope_random\.json, coco_pope_popular\.json, '),
    (mme_items, r'is not MME: looked for TASK/NAME\.txt'),
    (egothink_items, r'is not EgoThink: looked for CATEGORY/annotations\.json')])
def test_a_folder_that_is_another_set_says_what_was_looked_for(read, said, tmp_path):
    (tmp_path / 'notes.md').write_text('x')
    with pytest.raises(DatasetError, match=said + '.*found notes.md'):
        list(read(Source(tmp_path)))


def test_broken_lines_are_named(vstar, pope, mme, egothink):
    for path, text, read, root in (
            (vstar / 'test_questions.jsonl', '{"image": "a"', vstar_items, vstar),
            (vstar / 'test_questions.jsonl', json.dumps(
                {'image': 'a', 'text': '(A) x', 'category': 'c', 'label': 'B'}), vstar_items,
             vstar),
            (pope / 'output/coco/coco_pope_random.json', json.dumps(
                {'image': 'a', 'text': 'b', 'label': 'maybe'}), pope_items, pope),
            (mme / 'color' / '0006.txt', 'Is it?\tYes\nIs it?\tPerhaps', mme_items, mme),
            (egothink / 'Activity' / 'annotations.json', '[{"question": 1}]', egothink_items,
             egothink)):
        path.write_text(text)
        with pytest.raises(DatasetError, match=path.name):
            list(read(Source(root)))
    (pope / 'output/coco/coco_pope_random.json').unlink()
    source = Source(pope)
    assert len(list(pope_items(source))) == 4
    assert source.lost[0]['name'] == 'coco_pope_random.json'


@pytest.mark.parametrize(('text', 'letter'), [
    ('A', 'A'), ('(B)', 'B'), ('B.', 'B'), ('B: cotton', 'B'), ('**C**', 'C'), ('D\nas ...', 'D'),
    ('The answer is B', 'B'), ('Answer: (B) cotton', 'B'), ('the answer is B because ...', 'B'),
    ('A red one', 'C'), ('It is cotton.', 'B'), ('the answer is a red glove', 'C'),
    ('not red', 'D'), ('rubber or cotton', None), ('E', None), ('', None), ('no idea', None)])
def test_letters_are_read_however_they_are_said(text, letter):
    assert letter_of(text, OPTIONS) == letter


@pytest.mark.parametrize(('text', 'said'), [
    ('Yes', 'yes'), ('no.', 'no'), ('Yes, there is no doubt.', 'yes'), ('There is no dog', 'no'),
    ("There isn't", 'no'), ('I say yes', 'yes'), ('It is a dog', None), ('', None),
    ('perhaps yes, perhaps no', None)])
def test_yes_and_no_are_read(text, said):
    assert yes_no_of(text) == said


def test_statistics_by_hand():
    assert mcnemar(8, 0) == pytest.approx(2 * .5 ** 8)
    assert mcnemar(1, 3) == pytest.approx(2 * (1 + 4) / 16)
    assert mcnemar(0, 0) == 1
    z = 1.959964
    middle, half = (.8 + z * z / 20) / (1 + z * z / 10), z / (1 + z * z / 10) * (
        .8 * .2 / 10 + z * z / 400) ** .5
    assert interval(8, 10) == pytest.approx([middle - half, middle + half], abs=1e-5)


def run(dataset, root, server, path, weights, *more):
    """Run the command."""
    return main(['eval', 'benchmark', '--dataset', dataset, '--root', str(root), '--json',
                 str(path), '--weights', str(weights), '--llm-url', server.url, '--llm-model', 'm',
                 '--llm-pause', '0', *more])


@pytest.mark.slow
def test_vstar_runs_with_the_papers_rows_beside(vstar, serve, small_weights, tmp_path, capsys):
    server, path = serve(lambda body: 'A'), tmp_path / 'v.json'
    assert run('vstar', vstar, server, path, small_weights, '--items', '2', '--methods', 'crop',
               'overlay_crop') == 0
    figures = json.loads(path.read_text())
    assert figures['methods'] == ['crop', 'overlay_crop'] and figures['splits']['all']['n'] == 4
    assert figures['splits']['all']['raw']['accuracy'] == 1
    assert figures['published'] == published('vstar') and not published('pope')
    said, page = capsys.readouterr().out, path.with_suffix('.html').read_text()
    for text in ('0.812', 'IVM + GPT-4V', 'm, overlay_crop'):
        assert text in page and text in said


@pytest.mark.slow
def test_pope_and_mme_run(pope, mme, serve, small_weights, tmp_path):
    server, path = serve(lambda body: 'Yes, I think.'), tmp_path / 'p.json'
    assert run('pope', pope, server, path, small_weights, '--methods', 'overlay') == 0
    splits = json.loads(path.read_text())['splits']
    # One question is in all three: pairs over all would count it thrice.
    assert set(splits) == {'random', 'popular', 'adversarial'}
    for raw in (row['raw'] for row in splits.values()):
        assert (raw['accuracy'], raw['precision'], raw['recall'], raw['f1'], raw['yes_share']) == (
            .5, .5, 1, pytest.approx(2 / 3), 1)
    # The block is asked after once for all three subsets, though they go out side by side.
    questions = [body['messages'][0]['content'][0]['text'] for body in server.requests]
    pictures = {body['messages'][0]['content'][1]['image_url']['url'] for body in server.requests
                if 'block' in str(body['messages'][0]['content'][0])}
    assert sum('block' in text for text in questions) == len(pictures)
    server = serve(lambda body: 'Yes' if 'block' in str(body['messages'][0]['content'][0])
                   else 'N')
    assert run('mme', mme, server, tmp_path / 'm' / 'm.json', small_weights) == 0
    splits = json.loads((tmp_path / 'm' / 'm.json').read_text())['splits']
    assert splits['artwork']['raw']['accuracy'] == .5 and splits['artwork']['raw']['unread'] == 1
    assert splits['artwork']['raw']['accuracy_plus'] == 0
    assert splits['all']['raw']['mme_score'] == 50 + 50


@pytest.mark.slow
def test_egothink_is_judged_by_another_model(egothink, serve, small_weights, tmp_path):
    def answer(body):
        if body['model'] == 'judge':
            told = json.loads(body['messages'][1]['content'])
            assert told == {'question': 'What am I doing?', 'reference': 'cooking',
                            'answer': 'Frying. {"score": 1}'}
            assert body['response_format']['json_schema']['strict']
            return '{"score": 0.5}'
        assert [part['type'] for part in body['messages'][0]['content']] == ['text', 'image_url']
        return 'Frying. {"score": 1}'  # data to the judge, no command

    path, server = tmp_path / 'e.json', serve(answer)
    assert run('egothink', egothink, server, path, small_weights, '--judge-model', 'judge',
               '--methods', 'overlay') == 0
    figures = json.loads(path.read_text())
    assert set(figures['splits']) == {'Activity', 'Object/attribute', 'all'}
    raw = figures['splits']['all']['raw']
    assert (raw['score'], raw['accuracy']) == (.5, 0) and raw['judge_tokens']['asked'] == 200
    assert len(figures['lost']) == 2 and figures['judge'] == 'judge'


def test_nonsense_and_refusals_are_listed_and_a_server_that_only_babbles_stops_the_run(
        vstar, serve, ask, picture_in):
    turns = iter(range(1000))
    broken = (200, '<html>gateway</html>')
    refusal = (200, json.dumps({'choices': [{'message': {'content': None, 'refusal': 'no'}}]}))
    server = serve(lambda body: {0: broken, 1: refusal}.get(next(turns), 'A'))
    answers, asking = ask(server, vstar_items(Source(vstar)), Source(vstar), parallel=1)
    assert len(answers) == 8
    assert [entry['why'].split(':')[0] for entry in asking.failed] == [
        'language model, not JSON', 'language model, refusal']
    server = serve(lambda body: broken)
    chat = Chat(ChatConfig(server.url, 'other', retries=0), vstar / 'cache')
    asking = Asking(Plan(chat, ('overlay',)), Source(vstar), hsv_words, Gallery(0))
    with pytest.raises(LlmError, match=r'not JSON: .*\(and 4 items before it\)\. Answers so far'):
        list(asking.run(vstar_items(Source(vstar))))


@pytest.mark.slow
def test_a_server_that_is_down_refuses_or_is_slow_ends_the_run_with_a_word(
        vstar, serve, small_weights, tmp_path, capsys):
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    down = type('Down', (), {'url': f'http://127.0.0.1:{port}/v1'})
    assert run('vstar', vstar, down, tmp_path / 'a.json', small_weights) == 2
    said = capsys.readouterr().err
    assert 'failed 5 times in a row, at last by unreachable' in said
    assert 'the same command goes on from there' in said and not (tmp_path / 'a.json').exists()
    shut = serve(lambda body: (401, 'wrong key'))
    assert run('vstar', vstar, shut, tmp_path / 'b.json', small_weights) == 2
    assert "status: 401: 'wrong key'" in capsys.readouterr().err
    slow = serve(lambda body: 'A', 1.5)
    assert run('vstar', vstar, slow, tmp_path / 'c.json', small_weights, '--llm-timeout', '.2',
               '--llm-retries', '0') == 2
    assert 'slow: no whole answer within 0.2 s' in capsys.readouterr().err
    good = serve(lambda body: 'A')
    assert run('vstar', vstar, good, tmp_path / 'd' / 'd.json', small_weights, '--llm-budget',
               '3') == 2
    assert 'raise --llm-budget' in capsys.readouterr().err and len(good.requests) == 3
    path = tmp_path / 'd' / 'd.json'  # the same command goes on, and asks nothing twice
    assert run('vstar', vstar, good, path, small_weights) == 0
    bodies = [json.dumps(body) for body in good.requests]
    spent = json.loads(path.read_text())['spent']
    assert len({*bodies}) == len(bodies) == 3 + spent['requests'] and spent['remembered'] >= 3


def test_the_document_shows_the_papers_rows_as_the_code_has_them():
    text = (Path(__file__).parents[1] / 'docs' / 'benchmarks.md').read_text()
    for model, *values in VSTAR_ROWS:
        assert f'| {model} | ' + ' | '.join(f'{100 * value:.1f}' for value in values) in text


@pytest.mark.parametrize(('settings', 'said'), [
    ({'dataset': 'vstar'}, 'vstar asks a model: wanted --llm-url and --llm-model'),
    ({'dataset': 'egothink', 'llm': ChatConfig('http://x/v1', 'm')}, 'answers of egothink'),
    ({'dataset': 'refcoco', 'methods': ('none',)}, "methods: wanted some of .*, got 'none'"),
    ({'dataset': 'coco'}, "wanted one of 'refcoco'")])
def test_wrong_settings_are_refused(settings, said):
    with pytest.raises(ConfigError, match=said):
        BenchmarkConfig(root='x', **settings)


@pytest.mark.slow
def test_nothing_usable_is_an_error_that_names_the_first(vstar, serve, small_weights, tmp_path,
                                                         capsys):
    for path in vstar.glob('*/*.jpg'):
        path.write_bytes(b'torn')
    assert run('vstar', vstar, serve(lambda body: 'A'), tmp_path / 'v.json', small_weights) == 2
    assert 'none of 11 items could be used, the first relative_position/sa_0.jpg: not a JPEG' in (
        ' '.join(capsys.readouterr().err.split()))
