"""One of several who work in the same folder at the same time: `edit_together.py FOLDER NAME SECONDS`.

Each makes files whose names say what they hold, replaces files of all by renaming, moves and deletes its own, and looks
at what others made: what is there must be whole. At the end it prints how much it did, and names every wrong thing.
"""
import hashlib
import os
import random
import sys
import time


def contents(random_bytes):
    return hashlib.sha256(random_bytes).hexdigest().encode() + b"\n" + random_bytes


def is_whole(data):
    return len(data) >= 65 and hashlib.sha256(data[65:]).hexdigest().encode() == data[:64]


def write(path, data, pieces):
    with open(path, "wb") as file:
        step = max(1, len(data) // pieces)
        for start in range(0, len(data), step):
            file.write(data[start : start + step])
            file.flush()


def main():
    folder, name, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    chance = random.Random(name)
    wrong = []
    done = {"made": 0, "replaced": 0, "read": 0, "deleted": 0, "moved": 0}
    mine = []
    for kind in ("made", "shared", "moved"):
        os.makedirs(f"{folder}/{kind}", exist_ok=True)
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end:
        number += 1
        data = contents(chance.randbytes(chance.choice((1, 100, 5000, 70000, 300000))))
        temporary = f"{folder}/made/.{name}-{number}"
        write(temporary, data, chance.choice((1, 3)))
        what = chance.random()
        if what < 0.4:
            path = f"{folder}/made/{name}-{number}"
            os.rename(temporary, path)
            mine.append((path, data))
            done["made"] += 1
        else:
            os.rename(temporary, f"{folder}/shared/{chance.randrange(8)}")
            done["replaced"] += 1
        if len(mine) > 50:
            path, data = mine.pop(chance.randrange(len(mine)))
            if chance.random() < 0.5:
                os.unlink(path)
                done["deleted"] += 1
            else:
                os.rename(path, f"{folder}/moved/{os.path.basename(path)}")
                done["moved"] += 1
        # What it made itself is as it made it; what others made is whole.
        if mine:
            path, data = chance.choice(mine)
            with open(path, "rb") as file:
                if file.read() != data:
                    wrong.append(f"{path} is not what was written")
        where = f"{folder}/{chance.choice(('made', 'shared', 'moved'))}"
        names = [entry for entry in os.listdir(where) if not entry.startswith(".")]
        for entry in chance.sample(names, min(3, len(names))):
            try:
                with open(f"{where}/{entry}", "rb") as file:
                    data = file.read()
            except FileNotFoundError:
                continue  # Moved or deleted meanwhile.
            done["read"] += 1
            if not is_whole(data):
                wrong.append(f"{where}/{entry} is torn: {len(data)} bytes")
    for path, data in mine:
        with open(path, "rb") as file:
            if file.read() != data:
                wrong.append(f"{path} is lost or changed at the end")
    print(f"{name}: {done}, {len(mine)} left")
    for line in wrong[:20]:
        print(f"{name}: WRONG: {line}")
    sys.exit(1 if wrong else 0)


main()
