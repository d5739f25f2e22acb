"""Python at work: objects and calls, strings and dictionaries, regular expressions.

usage: work.py SECONDS ROW...; prints `row value unit` for each row.
"""
import re
import sys
import time


class Account:
    def __init__(self, owner, balance):
        self.owner = owner
        self.balance = balance
        self.history = []

    def move(self, amount, other):
        if amount > self.balance:
            amount = self.balance // 2
        self.balance -= amount
        other.receive(amount)
        self.history.append(amount)

    def receive(self, amount):
        self.balance += amount


def objects():
    accounts = [Account(f"owner {i}", 1000 + 37 * i) for i in range(20)]
    for step in range(2000):
        accounts[step * 7 % 20].move(step % 113, accounts[step * 11 % 20 - 1])
    return sum((i + 1) * a.balance + len(a.history) for i, a in enumerate(accounts))


def strings():
    counts = {}
    for i in range(1500):
        word = "word" + str(i * i % 257)
        counts[word] = counts.get(word, 0) + 1
    lines = [f"{word.upper()}={count:04d}" for word, count in sorted(counts.items())]
    text = ";".join(lines)
    pairs = dict(part.split("=") for part in text.split(";"))
    return sum(int(value) * len(key) for key, value in pairs.items()) + len(text.replace("WORD", "w"))


LOG = "\n".join(f"2023-0{i % 9 + 1}-1{i % 7} host{i % 5} service[{i * 37}]: request /a/b{i}/c?x={i * i} took {i * 13 % 997} ms"
                for i in range(60))
LINE = re.compile(r"^(\d{4})-(\d\d)-(\d\d) (\w+) (\w+)\[(\d+)\]: .*?(/\S*)\?x=(\d+) took (\d+) ms$", re.MULTILINE)


def regex():
    total = 0
    for match in LINE.finditer(LOG):
        total += int(match.group(9)) + int(match.group(2)) * len(match.group(7))
    return total + len(re.sub(r"[aeiou]+|\d{2,}", "-", LOG))


WORK = {"python-objects": (objects, 310879), "python-strings": (strings, 11082), "python-regex": (regex, 28411)}
seconds = float(sys.argv[1])
for row in sys.argv[2:]:
    work, expected = WORK[row]
    result = work()
    if result != expected:
        print(row, "failed", f"checksum-{result}-instead-of-{expected}")
        continue
    rounds = 0
    begin = time.perf_counter()
    elapsed = 0
    while elapsed < seconds:
        work()
        rounds += 1
        elapsed = time.perf_counter() - begin
    print(row, f"{rounds / elapsed:.4g}", "rounds/s", flush=True)
