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
"""
Hooks of mkdocs: pages that are written from the code, and files that lie outside docs/.

Pages in docs/ are written to be read on a forge too, where `../CONTRIBUTING.md` and
`../ivm_ros/cli.py` are links; on the site the first is a page and the second is no link.
"""

from pathlib import Path
import posixpath
import re
import sys
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / 'scripts'))

import docs_reference  # noqa: E402, I100, I201

OUTSIDE = {'CONTRIBUTING.md': 'contributing.md', 'CHANGELOG.md': 'changelog.md',
           'SECURITY.md': 'security.md'}
"""Files of the root that are pages of the site."""
SELF = 'results/experiment/index.html'
"""A page of its own, which mkdocs.yml leaves out for the sake of the README.md beside it."""
LINK = re.compile(r'(!?)\[([^\]]*)\]\(([^)\s]+)\)')


def on_config(config: Any) -> Any:
    """Put pages that the menu of mkdocs.yml does not name at its end."""
    named = {page if isinstance(page, str) else next(iter(page.values()))
             for section in config.nav for pages in section.values() for page in pages}
    docs = Path(config.docs_dir)
    others = [name for name in sorted(path.relative_to(docs).as_posix()
                                      for path in docs.rglob('*.md'))
              if name not in named and not config.not_in_nav.match_file(name)]
    if others:
        config.nav.append({'More': others})
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add what is generated, and what lies outside docs/."""
    for path, text in docs_reference.pages().items():
        files.append(File.generated(config, path, content=text))
    for name, page in OUTSIDE.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text()))
    files.append(File.generated(config, SELF.replace('index', 'page'),
                                abs_src_path=str(ROOT / 'docs' / SELF)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Turn links that leave docs/ into pages of the site, or into the names of files."""
    source = page.file.src_uri
    of_root = source in OUTSIDE.values()
    if source == 'results/experiment/README.md':
        markdown = markdown.replace('`index.html` beside this file',
                                    '[a page of its own](page.html)')

    def turned(match: re.Match[str]) -> str:
        mark, text, target = match.groups()
        path, sharp, part = target.partition('#')
        if not path or '://' in path:
            return match.group()
        folder = '' if of_root else posixpath.dirname(f'docs/{source}')
        place = posixpath.normpath(posixpath.join(folder, path))
        if place in OUTSIDE:
            return f'{mark}[{text}]({_relative(OUTSIDE[place], source)}{sharp}{part})'
        if place.startswith('docs/'):
            return f'{mark}[{text}]({_relative(place[5:], source)}{sharp}{part})'
        if not (ROOT / place).exists():
            raise ValueError(f'{source}: links to {target}, and there is no {place}')
        return text if text.startswith('`') else f'{text} (`{place}`)'

    return LINK.sub(turned, markdown)


def _relative(target: str, source: str) -> str:
    return posixpath.relpath(target, posixpath.dirname(source) or '.')
