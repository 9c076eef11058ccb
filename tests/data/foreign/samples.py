"""Tiny folders in the layouts that MovieLens publishes, made up here: nothing of them is real data."""

from __future__ import annotations

import json
from pathlib import Path

GENRES = ("unknown", "Action", "Comedy", "Drama", "Film-Noir")
RATINGS = (
    (1, 10, 4, 978300760),
    (1, 20, 5, 978302109),
    (2, 10, 3, 978298413),
    (2, 30, 1, 978220179),
    (3, 20, 2, 978199279),
)

Content = str | bytes


def write(folder: Path, **files: Content) -> Path:
    """Files by name, ``__`` for the dot; text as UTF-8."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        data = content if isinstance(content, bytes) else content.encode()
        (folder / name.replace("__", ".")).write_bytes(data)
    return folder


def movielens_100k(folder: Path, **changed: Content) -> Path:
    """u.data, u.item (Latin-1), u.user, u.genre, u.occupation, and a file of splits that is not needed."""
    films = (
        "10|Le Film Noyé (1994)|01-Jan-1994||http://us.example/M?noye|0|1|0|1|0",
        "20|Wolves: A Tale, Told (1995)|14-Feb-1995||http://us.example/M?wolves|0|0|1|0|0",
        "30|unknown||||1|0|0|0|0",
    )
    files: dict[str, Content] = {
        "u__data": "".join("\t".join(map(str, row)) + "\n" for row in RATINGS),
        "u__item": ("\n".join(films) + "\n").encode("latin-1"),
        "u__user": "1|24|M|technician|85711\n2|53|F|other|02139\n3|23|M|writer|T8H1N\n",
        "u__genre": "".join(f"{name}|{number}\n" for number, name in enumerate(GENRES)) + "\n",
        "u__occupation": "other\ntechnician\nwriter\n",
        "u1__base": "1\t10\t4\t978300760\n",
    }
    return write(folder, **{**files, **changed})


def movielens_1m(folder: Path, **changed: Content) -> Path:
    """ratings.dat, movies.dat (Latin-1), users.dat."""
    films = (
        "10::Le Film Noyé (1994)::Action|Drama",
        "20::Wolves: A Tale (a.k.a. Loups) (1995)::Comedy",
        "30::Three O'Clock (2000)::Children's|Comedy",
    )
    files: dict[str, Content] = {
        "ratings__dat": "".join("::".join(map(str, row)) + "\n" for row in RATINGS),
        "movies__dat": ("\n".join(films) + "\n").encode("latin-1"),
        "users__dat": "1::F::1::10::48067\n2::M::56::16::02139\n3::M::25::15::55117-1234\n",
        "README": "made up\n",
    }
    return write(folder, **{**files, **changed})


def movielens_10m(folder: Path, **changed: Content) -> Path:
    """ratings.dat, movies.dat, tags.dat, in UTF-8."""
    files: dict[str, Content] = {
        "ratings__dat": "1::10::4.5::978300760\n1::20::5::978302109\n2::10::0.5::978298413\n",
        "movies__dat": "10::Le Film Noyé (1994)::Action|Drama\n20::Nameless::(no genres listed)\n",
        "tags__dat": "1::10::Slow  Burn::978300761\n2::20::wolf: the::978298414\n",
    }
    return write(folder, **{**files, **changed})


def movielens_csv(folder: Path, **changed: Content) -> Path:
    """ratings.csv, movies.csv, tags.csv, links.csv, as since 20M."""
    files: dict[str, Content] = {
        "ratings__csv": "userId,movieId,rating,timestamp\n1,10,4.0,964982703\n1,20,0.5,964981247\n7,10,5.0,964982224\n",
        "movies__csv": (
            "movieId,title,genres\n"
            '10,"Film Noyé, Le (1994)",Action|Drama\n'
            '20,"Talk ""Loud"" (1983–1984) ",(no genres listed)\n'
            "30,Nameless,Comedy\n"
        ),
        "tags__csv": (
            'userId,movieId,tag,timestamp\n1,10,"Slow  BURN, very",964982704\n'
            "7,10,slow burn\u3000,964982225\n7,20,,964982226\n"
        ),
        "links__csv": "movieId,imdbId,tmdbId\n10,0114709,862\n20,0113497,\n",
        "README__txt": "made up\n",
    }
    return write(folder, **{**files, **changed})


def field(name: str, kind: object = "string", **attributes: bool) -> dict[str, object]:
    """A field of an Avro schema."""
    return {"name": name, "type": kind, **attributes}


def record(name: str, *fields: dict[str, object]) -> str:
    """An Avro schema in JSON."""
    return json.dumps({"type": "record", "name": name, "fields": list(fields), "version": "1.0"})


INTERACTIONS = record(
    "Interactions",
    field("USER_ID"),
    field("ITEM_ID"),
    field("TIMESTAMP", "long"),
    field("EVENT_TYPE"),
    field("EVENT_VALUE", ["null", "float"]),
    field("IMPRESSION", ["string", "null"]),
    field("RECOMMENDATION_ID", ["string", "null"]),
    field("DEVICE", ["string", "null"], categorical=True),
)
ITEMS = record(
    "Items",
    field("ITEM_ID"),
    field("CREATION_TIMESTAMP", ["null", "long"]),
    field("GENRES", ["null", "string"], categorical=True),
    field("PRICE", ["null", "double"]),
    field("IS_KIDS", ["null", "boolean"]),
    field("DESCRIPTION", ["null", "string"], textual=True),
)
USERS = record(
    "Users", field("USER_ID"), field("AGE", ["null", "int"]), field("PLAN", ["null", "string"], categorical=True)
)


def personalize(folder: Path, **changed: Content) -> Path:
    """Interactions, items and users with their schemas."""
    files: dict[str, Content] = {
        "interactions__csv": (
            "USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE,IMPRESSION,RECOMMENDATION_ID,DEVICE\n"
            "u1,007,1700000000,watch,12.5,007|b|c,r-1,tv\n"
            'u1,b,1700000060,click,,,,"phone, old"\n'
            "ü2,b,1700000120,watch,3,b|007,,\n"
        ),
        "interactions-schema__json": INTERACTIONS,
        "items__csv": (
            "ITEM_ID,CREATION_TIMESTAMP,GENRES,PRICE,IS_KIDS,DESCRIPTION\n"
            '007,1600000000,drama|crime,9.99,false,"A ""quiet"" film,\nin two lines"\n'
            "b,1600000100,comedy|,,true,\n"
            "c,,,1,,Nothing\n"
        ),
        "items-schema__json": ITEMS,
        "users__csv": "USER_ID,AGE,PLAN\nu1,34,basic\nü2,,\n",
        "users-schema__json": USERS,
    }
    return write(folder, **{**files, **changed})


def recbole(folder: Path, **changed: Content) -> Path:
    """Atomic files with every type."""
    files: dict[str, Content] = {
        "tiny__inter": (
            "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
            'u1\t007\t4\t1700000000\nu1\t"b\t3.5\t1.70000006e9\nü2\t"b\t\t1700000120\n'
        ),
        "tiny__item": (
            "item_id:token\tmovie_title:token_seq\tclass:token_seq\tyear:float\tembedding:float_seq\n"
            '007\tA "quiet" film\tdrama crime\t1999\t0.1 0.2\n"b\t\tcomedy\t\t1 -2.5\n'
        ),
        "tiny__user": "user_id:token\tage:float\tplan:token\nu1\t34\tbasic plan\nü2\t\t\n",
        "tiny__kg": "head_id:token\trelation_id:token\ttail_id:token\n",
    }
    return write(folder, **{**files, **changed})
