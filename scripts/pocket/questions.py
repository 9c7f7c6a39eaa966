"""Two hundred things a person may say to which only the honest answer is right; training never sees any of them.

Written by hand, apart from the lists of `others`: other subjects, other wordings, other languages, code, noise.
"""

from typing import Final

from scripts.pocket.text import lines

UNSEEN_OTHERS: Final = lines("unseen_others.txt")
