"""Readable names for titles and people, unique, drawn from word lists."""

from __future__ import annotations

import numpy as np


def _words(text: str) -> list[str]:
    return text.split()


ADJECTIVES = _words("""
Silent Burning Hidden Golden Broken Distant Last Crimson Hollow Restless Paper Frozen Secret Wild Pale Velvet
Electric Forgotten Crooked Midnight Northern Endless Gentle Bitter Scarlet Quiet Savage Lonely Iron Emerald
Drowned Second Borrowed Faithful Invisible Wandering Tender Salted Copper Painted Final Unknown Rising Fallen
Silver Blue Winter Summer Little Great Double Early Late Sleeping Honest Foreign Common Perfect Lost Bright
""")

NOUNS = _words("""
Harbour River Garden Witness Mountain Letter Signal Orchard Station Island Mirror Lantern Captain Daughter
Kingdom Machine Promise Shadow Stranger Village Voyage Weaver Window Detective Engine Feast Forest Frontier
Ghost Hour House Hunter Inheritance Journey Kitchen Lake Library Lighthouse Market Melody Meridian Moon
Neighbour Night Ocean Palace Passenger Pilot Planet Portrait Railway Rebellion Recipe Road Room Sailor Season
Sister Song Spring Storm Street Summit Teacher Theatre Tide Tower Trial Valley Wedding Wolf Wonder Workshop
Archive Bridge Circle Desert Doctor Dream Fire Gambler Heart Horizon
""")

PLACES = _words("""
Lisbon Bergen Kyoto Marseille Dundee Trieste Galway Porto Krakow Seville Leipzig Bruges Tallinn Cardiff
Valparaiso Havana Busan Tangier Naples Zagreb
""")

FIRST_NAMES = _words("""
Ada Amara Anton Aoife Beatriz Bruno Carla Cedric Clara Daniel Dora Edith Elif Emil Esther Farah Felix Greta Hana
Hugo Ines Iris Ivan Jonas Julia Karim Lara Leo Lucia Mads Maja Marco Mei Milan Mina Nadia Nils Nora Oscar Otto
Paula Petra Rafael Rosa Samir Selma Simon Sofia Tariq Thea Tobias Uma Vera Viktor Yara Yusuf Zoe Alma Basil
Celia
""")

LAST_NAMES = _words("""
Abbott Achterberg Almeida Andersen Barros Baumann Bellini Bianchi Bjork Blanchard Brandt Calloway Carvalho
Castellano Conti Costa Dahl Delacroix Duarte Eriksen Esposito Falk Ferrari Fischer Fontaine Garnier Girard Greco
Haas Hallam Hartley Holm Iversen Jansen Kaplan Keller Kowalski Lang Larsen Leclerc Lindqvist Lombardi Marchetti
Marlow Mendes Moreau Nakamura Navarro Novak Okafor Olsen Park Pereira Quinn Ramos Rossi Roux Santos Schilling
Serrano Silva Sorensen Sterling Tanaka Thorne Torres Vance Varga Vidal Vogel Weber Whitlock Winther Yilmaz
Zeller
""")

_PATTERNS = (
    (0.40, "The {} {}", (ADJECTIVES, NOUNS)),
    (0.20, "{} {}", (ADJECTIVES, NOUNS)),
    (0.15, "{} of the {}", (NOUNS, NOUNS)),
    (0.10, "A {} in {}", (NOUNS, PLACES)),
    (0.15, "The {} {} of {}", (ADJECTIVES, NOUNS, PLACES)),
)


def title_names(rng: np.random.Generator, count: int) -> list[str]:
    """Distinct names of titles; the word lists give some 110,000."""
    capacities = [int(np.prod([len(words) for words in lists])) for _, _, lists in _PATTERNS]
    counts = [min(int(share * count), capacity) for (share, _, _), capacity in zip(_PATTERNS, capacities, strict=True)]
    counts[-1] += count - sum(counts)
    assert counts[-1] <= capacities[-1], "more titles than the word lists can name"
    names: list[str] = []
    for (_, pattern, lists), wanted, capacity in zip(_PATTERNS, counts, capacities, strict=True):
        for code in rng.choice(capacity, size=wanted, replace=False).tolist():
            rest, words = code, []
            for options in lists:
                rest, word = divmod(rest, len(options))
                words.append(options[word])
            names.append(_readable(pattern.format(*words)))
    return [names[place] for place in rng.permutation(len(names)).tolist()]


def _readable(name: str) -> str:
    """ "Wolf against Wolf" for "Wolf of the Wolf", "An Engine in Porto" for "A Engine in Porto"."""
    first, _, last = name.partition(" of the ")
    if first == last:
        return f"{first} against {last}"
    if name.startswith("A ") and (name[2] in "AEIO" or name.startswith("A Hour")):
        return f"An {name[2:]}"
    return name


def people_names(rng: np.random.Generator, count: int) -> list[str]:
    """Distinct names of people; with a middle initial where first and last names run out."""
    plain = len(FIRST_NAMES) * len(LAST_NAMES)
    assert count <= plain * 27, "more people than the word lists can name"
    codes = (
        rng.choice(plain, size=count, replace=False)
        if count <= plain
        else np.concatenate([np.arange(plain), plain + rng.choice(plain * 26, count - plain, replace=False)])
    )
    names = []
    for code in codes.tolist():
        layer, rest = divmod(code, plain)
        first, last = divmod(rest, len(LAST_NAMES))
        middle = f" {chr(ord('A') + layer - 1)}." if layer else ""
        names.append(f"{FIRST_NAMES[first]}{middle} {LAST_NAMES[last]}")
    return names
