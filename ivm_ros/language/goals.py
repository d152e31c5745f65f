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
Sentences that name a goal and not a thing: 'set the table for tea'.

What a goal needs is our choice, by nouns and by sorts. Where something is in view that one person
would count and another would not, the sentence is not made.
"""

from dataclasses import dataclass

from ivm_ros.language.nouns import NOUNS
from ivm_ros.language.things import Thing


@dataclass(frozen=True)
class Purpose:
    """
    A goal.

    Attributes:
        texts (tuple[str, ...]): Sentences.
        needs (tuple[str, ...]): Nouns and sorts that it needs.
        doubtful (tuple[str, ...]): Nouns and sorts that it might need.
    """

    texts: tuple[str, ...]
    needs: tuple[str, ...]
    doubtful: tuple[str, ...] = ()

    def targets(self, things: list[Thing]) -> list[Thing]:
        """List what it needs of things in view; none where that is open to debate."""
        if any(self._of(self.doubtful, thing) for thing in things):
            return []
        return [thing for thing in things if self._of(self.needs, thing)]

    @staticmethod
    def _of(names: tuple[str, ...], thing: Thing) -> bool:
        noun = NOUNS[thing.kind]
        return thing.kind in names or any(noun.is_a(name) is not False for name in names
                                          if name not in NOUNS)


PURPOSES = (
    Purpose(('set the table for tea', 'let us have tea', 'prepare the tea'),
            ('kettle', 'cup', 'mug', 'tea'),
            ('plate', 'spoon', 'milk', 'coffee', 'bowl', 'tray', 'cookie', 'cake', 'salt', 'lemon',
             'cupcake', 'honey pot', 'jar', 'pot')),
    Purpose(('set the table', 'lay the table for dinner', 'prepare the dinner table'),
            ('plate', 'fork', 'spoon', 'knife and fork', 'cup', 'place setting', 'wine glass'),
            ('kitchen knife', 'bowl', 'mug', 'candle', 'salt', 'tray', 'food', 'drink', 'pot',
             'chopsticks', 'pan', 'bottle', 'amphora', 'kettle', 'jar', 'flower')),
    Purpose(('make a fruit salad', 'I want to make a fruit salad'), ('fruit', 'bowl'),
            ('kitchen knife', 'spoon', 'basket', 'plate', 'salad', 'lemon', 'fork')),
    Purpose(('cook something', 'I want to cook', 'prepare to fry something'), ('pan', 'pot'),
            ('spoon', 'lid', 'kettle', 'egg', 'bacon', 'steak', 'butter', 'food', 'kitchen knife',
             'bowl')),
    Purpose(('I want to write something', 'help me write a letter', 'something to write with'),
            ('pen', 'pencil', 'ballpoint'),
            ('crayon', 'notebook', 'page', 'memo', 'paintbrush', 'keyboard', 'laptop', 'envelope',
             'clipboard')),
    Purpose(('it is raining outside', 'I do not want to get wet', 'keep me dry in the rain'),
            ('umbrella',), ('coat', 'boot', 'hat', 'backpack', 'sun hat', 'hiking boot')),
    Purpose(('cut this paper', 'I need to cut some paper', 'help me to cut out a picture'),
            ('scissors',), ('kitchen knife', 'page', 'saw', 'dagger', 'razor', 'paper', 'axe')),
    Purpose(('what time is it?', 'tell me the time'), ('clock', 'watch'),
            ('phone', 'stopwatch', 'timer', 'hourglass', 'laptop', 'computer', 'television',
             'calendar', 'telephone', 'compass', 'radio')),
    Purpose(('drive in a nail', 'I have to hit a nail', 'nail this board down'), ('hammer',),
            ('hammer and pick', 'rock', 'axe', 'nut and bolt', 'log', 'wrench')),
    Purpose(('tighten a screw', 'I need to fasten a screw'), ('screwdriver',),
            ('wrench', 'nut and bolt', 'toolbox', 'clamp')),
    Purpose(('clean the floor', 'sweep the floor', 'the floor is dirty'), ('broom',),
            ('bucket', 'sponge', 'soap', 'toilet paper')),
    Purpose(('wash your hands', 'clean your hands'), ('soap',),
            ('lotion bottle', 'sponge', 'bathtub', 'bucket', 'toilet paper', 'bottle')),
    Purpose(('brush your teeth', 'clean your teeth'), ('toothbrush',), ('tooth', 'lotion bottle')),
    Purpose(('do the dishes', 'scrub the dishes', 'wash up'), ('sponge',),
            ('soap', 'plate', 'cup', 'bowl', 'mug', 'pan', 'pot', 'bucket', 'spoon', 'fork',
             'bottle', 'lid', 'tray', 'kettle', 'jar')),
    Purpose(('listen to music', 'I want to hear some music'), ('headphones', 'radio'),
            ('phone', 'musical instrument', 'compact disc', 'computer', 'laptop', 'television',
             'microphone', 'studio microphone')),
    Purpose(('make some music', 'play a song for me', 'let us play music'),
            ('musical instrument',),
            ('radio', 'headphones', 'phone', 'bell', 'compact disc', 'laptop', 'microphone',
             'studio microphone', 'computer', 'television')),
    Purpose(('take a photograph', 'I want to take a picture of this'), ('camera',),
            ('phone', 'video camera', 'film projector')),
    Purpose(('open the lock', 'unlock the door', 'unlock this'), ('key', 'old key'),
            ('padlock', 'door')),
    Purpose(('make a phone call', 'call my mother', 'ring the doctor'), ('phone', 'telephone'),
            ('telephone receiver', 'pager', 'laptop', 'computer')),
    Purpose(('light up the room', 'it is too dark in here', 'give me some light'),
            ('lamp', 'flashlight'),
            ('light bulb', 'candle', 'lantern', 'candle holder', 'window', 'jack-o-lantern')),
    Purpose(('let us play football', 'kick off the football game'), ('soccer ball',),
            ('goal net', 'american football', 'sports thing', 'ball')),
    Purpose(('feed the monkey', 'give the monkey its favourite fruit'), ('banana',), ('monkey',)),
    Purpose(('feed the rabbit', 'give the rabbit something orange to eat'), ('carrot',),
            ('rabbit', 'lettuce', 'tangerine')),
    Purpose(('make an omelette', 'I want to fry an omelette'), ('egg', 'pan'),
            ('butter', 'salt', 'spoon', 'mushroom', 'cheese', 'bowl', 'fork', 'milk', 'lid',
             'vegetable', 'bacon')),
    Purpose(('read me something', 'I want to read a story'), ('book',),
            ('pile of books', 'newspaper', 'notebook', 'scroll', 'page', 'memo', 'glasses')),
    Purpose(('eat some soup', 'I need something to eat soup with'), ('spoon',),
            ('bowl', 'stew', 'fork', 'plate', 'knife and fork', 'noodles')),
    Purpose(('pour me some coffee', 'I would like a hot drink in something'), ('cup', 'mug'),
            ('coffee', 'tea', 'kettle', 'jar', 'pot', 'wine glass')),
    Purpose(('put the toys of the baby away', 'tidy up the nursery'), ('teddy', 'tower', 'duck'),
            ('toy', 'baby bottle', 'toy shape')),
    Purpose(('fix the leaking pipe', 'loosen a nut'), ('wrench',),
            ('nut and bolt', 'toolbox', 'clamp', 'bucket')),
    Purpose(('weigh this', 'find out how heavy it is'), ('balance scale',)),
    Purpose(('measure how long it is', 'how many centimetres is this?'), ('ruler',),
            ('set square',)),
    Purpose(('look at the stars', 'I want to see the moon from near'), ('telescope',),
            ('star', 'microscope')),
    Purpose(('put out the fire', 'there is a fire!'), ('fire extinguisher',),
            ('bucket', 'firecracker', 'candle', 'fire engine')),
    Purpose(('is it warm or cold?', 'measure my temperature'), ('thermometer',)),
    Purpose(('clean the window glass of my spectacles', 'I can not see well, help me to read'),
            ('glasses',), ('sunglasses', 'goggles', 'magnifying glass', 'lamp', 'sponge')),
)
"""All goals (the needs are our choice)."""
