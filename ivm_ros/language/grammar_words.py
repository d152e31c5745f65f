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
"""Words and patterns that the grammar-based parser knows. All our choice, kept by hand."""

from collections.abc import Iterable
import re

from ivm_ros.language.goals import PURPOSES
from ivm_ros.language.nouns import NOUNS
from ivm_ros.language.words import plural_of

# What follows 'put' says where things go; after 'move' most often; after 'take' only with 'to'.
PUTS = ('put down', 'put', 'place', 'set down', 'set', 'lay', 'drop', 'stack', 'insert', 'store',
        'i want', 'gather', 'collect', 'pour', 'hang')
MOVES = ('move', 'slide', 'push', 'pull', 'shift', 'transfer')
BRINGS = ('take', 'bring', 'carry', 'deliver', 'bring me', 'pass me', 'pass', 'hand me',
          'hand over', 'hand', 'get me', 'get', 'grab', 'pick up', 'pick out', 'pick', 'lift up',
          'lift', 'fetch')
OTHERS = (
    'give me', 'show me', 'reach for', 'point at', 'point to', 'touch', 'hold', 'keep holding',
    'keep', 'find', 'look at', 'look for', 'where is', 'where are', 'can you see', 'do you see',
    'i need', 'i would like', "i'd like", 'grasp', 'turn on', 'turn off', 'turn', 'locate',
    'remove', 'move the gripper to', 'go to', 'focus on', 'clear away', 'clear', 'poke',
    'release', 'let go of', 'lower', 'tidy up', 'open', 'close', 'wipe', 'clean', 'wash', 'use',
    'cut', 'press', 'approach', 'select', 'shake', 'rotate', 'flip', 'squeeze', 'leave', 'avoid')
CAUTION = ('drop', 'let go of', 'release', 'lose', 'spill', 'break')
"""'Do not drop the cup' is about the cup; 'do not touch the cup' wants it left alone."""


def any_of(words: Iterable[str]) -> str:
    """Spell a pattern that matches one of some words, the longest first."""
    return '|'.join(sorted(map(re.escape, words), key=len, reverse=True))


VERB = re.compile(rf'(?:{any_of((*PUTS, *MOVES, *BRINGS, *OTHERS))})(?= |$)')
POLITE = re.compile(r'(?:(?:could|can|would|will) you(?! see)|please|kindly|now|first|try to|'
                    r'robot|the robot (?:should|must)|you (?:should|must)|i want you to|let us|'
                    r"let's|go and|and|then),? ")
THANKS = re.compile(r',? (?:please|thanks|thank you|now)$')
TAIL = re.compile(r',? (?:away|aside|forward|around|closer|down|up|back|again|to me|over|'
                  r'off the table|out of the way|to the side)$')
DETERMINER = re.compile(
    r'(?:all of the|all the|all|each|every|both|any|some|(?:the )?(?:two|2|three|3|four|4|five|5)|'
    r'the|an?|my|your|this|that|these|those)(?= )')
PRONOUN = re.compile(r'(?:it|them|this|that|these|those)(?: (?:down|up|back|over))?(?= |$)')
STEP = re.compile(rf',? and then |, then | then |,? and after that |; |\. |'
                  rf'(?:,? and |, )(?={VERB.pattern})')
NEXT = re.compile(r', and | and |, ')
PREPOSITION = re.compile(
    r'(?<=[\w\'"]) (?P<state>(?:(?:that|which) (?:is|are)|sitting|lying|standing) )?'
    r'(?:(?P<relation>(?:to the |on the )?(?:left|right)(?: side)? of|behind|in front of|'
    r'(?:nearest|closest|farthest|furthest)(?: away)?(?: to| from)?|away from|from|off|between|'
    r'among)|'
    r'(?P<near>next to|close to|near|beside|by|against|alongside|on top of|inside)|'
    r'(?P<motion>over to|onto|into|to|towards?)|'
    r'(?P<static>in|on|at|under|underneath|beneath|below|above)) ')

NOT = r"(?:do not|don't|never|i do not|i don't)"
BUT = r'(?:but|except for|except|other than|apart from|besides|excluding)'
REST = r'the rest|everything else|all the others|all others|the others'
DENIALS = tuple(map(re.compile, (
    r'(?P<take>(?:.* )?(?:everything|anything|whatever|(?:all|every) \w+)) (?:that )?'
    r'(?:is|are) not (?P<leave>.+)',
    rf'(?:leave|keep) (?P<leave>.+?) and (?:take|remove|move|get|grab|pick up) (?P<take>{REST})',
    r'leave (?P<leave>.+?) (?:where (?:it|they) (?:is|are)|alone|there)(?: and |, )(?P<take>.+)',
    rf'{NOT} (?:want )?(?:(?:{VERB.pattern}) )?(?P<leave>.+?)(?:, but |, | but |; |\. )'
    rf'(?:i want )?(?P<take>.+)',
    r'not (?P<leave>.+?)(?: but |, )(?P<take>.+)',
    r'(?P<take>.+?)(?:,? and|,? but|,) not (?P<leave>.+)',
    r'(?P<take>.+?),? (?:instead of|rather than) (?P<leave>.+)',
    rf'(?P<take>.+?),? {BUT} (?P<leave>.+)')))
"""Sentences that name what to leave alone; groups `take` and `leave`."""
REFUSAL = re.compile(rf'{NOT} (?:(?P<verb>{VERB.pattern}) )?(?P<leave>.+)')
TABLE = re.compile(r'(?:clear|clean|empty|clear off) the table')

_FIXED = (
    r'(?:what|whatever) (?:the robot is|you are) holding', r'whatever is in the (?:gripper|hand)',
    r'(?:in the (?:gripper|hand)|in your hand|held by the robot|the robot is holding|'
    r'you are holding|between the fingers)',
    r'on the far (?:left|right)', r'(?:furthest|farthest) to the (?:left|right)',
    r'(?:nearest|closest) to the camera', r'(?:farthest|furthest) from the camera',
    r'at the (?:front|back)', r'(?:on|to) the (?:left|right)(?! of| side of)',
    r'in the (?:middle|center|centre)')
WORDS = {word.lower() for noun in NOUNS.values() for word in (*noun.words, *noun.unseen)}
SINGULAR = {plural_of(word): word for word in WORDS} | {word: word for word in WORDS}
UNITS = re.compile('|'.join((
    *_FIXED, any_of(word for word in SINGULAR if ' ' in word))).join((r'\b(?:', r')\b')))
"""What is read as one word: places that need no other thing, nouns of several words."""

GOALS = {text.lower().strip('.?!'): purpose.needs
         for purpose in PURPOSES for text in purpose.texts}
