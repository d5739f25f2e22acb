"""Whether a WAV file holds others, sample for sample: `compare_sound.py [--loop|--gaps] WHOLE PART...`.

The parts must be in the whole one after another, each in one piece, with nothing before, between and behind them but
silence, and beginnings of the part that follows, where a program gave up. With --loop the whole is repeated for as long as
the part is, and what it has besides does not matter. With --gaps a part may be in several pieces with silence between
them, where a program had nothing to play for a moment.
Silence at a part's ends is no part of it. Prints where they are; if one isn't there in one piece, which pieces of it are.
"""
import sys
import wave


def read(path):
    with wave.open(path) as file:
        shape = file.getframerate(), file.getnchannels(), file.getsampwidth()
        return shape, shape[1] * shape[2], file.readframes(file.getnframes())


def without_silence(samples, frame):
    start = (len(samples) - len(samples.lstrip(b"\0"))) // frame * frame
    end = -(-len(samples.rstrip(b"\0")) // frame) * frame
    return start // frame, samples[start:end]


def find(whole, part, frame, start=0):
    place = whole.find(part, start)
    while place >= 0 and place % frame:
        place = whole.find(part, place + 1)
    return place


def pieces(whole, part, frame, start):
    """Where pieces of the part are: (frame of the part, frame of the whole, frames)."""
    needle = 32 * frame
    at = 0
    while at + needle <= len(part):
        place = find(whole, part[at : at + needle], frame, start)
        if place < 0:
            at += needle
            continue
        length = needle
        while part[at + length : at + length + frame] == whole[place + length : place + length + frame] != b"":
            length += frame
        yield at // frame, place // frame, length // frame
        at += length
        start = place + length


def given_up(gap, part, frame):
    """How many frames of the part the gap has each time it begins; None if it has anything else."""
    counts = []
    while gap := without_silence(gap, frame)[1]:
        length = 0
        while gap[length : length + frame] == part[length : length + frame] != b"":
            length += frame
        if not length:
            return None
        counts.append(length // frame)
        gap = gap[length:]
    return counts


def find_in_pieces(whole, part, frame, start):
    """Where the part begins and ends, in frames, and how many each of its gaps has; None if any of it is not there."""
    there = list(pieces(whole, part, frame, start))
    if not there or sum(length for _, _, length in there) != len(part) // frame:
        return None
    ends = [(place, place + length) for _, place, length in there]
    gaps = [(end, begin) for (_, end), (begin, _) in zip(ends, ends[1:])]
    if any(whole[end * frame : begin * frame].strip(b"\0") for end, begin in gaps):
        return None
    return ends[0][0], ends[-1][1], [begin - end for end, begin in gaps]


def tell_pieces(whole, part, frame, start, name):
    there = list(pieces(whole, part, frame, start))
    print(*there[:20], sep="\n")
    count = sum(length for _, _, length in there)
    sys.exit(f"{name}: {count} of {len(part) // frame} frames are there, in {len(there)} pieces")


def main():
    options = {name for name in sys.argv[1:] if name.startswith("--")}
    names = [name for name in sys.argv[1:] if name not in options]
    shape, frame, whole = read(names[0])
    at = 0
    for name in names[1:]:
        part_shape, _, samples = read(name)
        if part_shape != shape:
            sys.exit(f"{name} has {part_shape}, {names[0]} {shape}")
        before, part = without_silence(samples, frame)
        if not part:
            sys.exit(f"{name} is silent: {len(samples) // frame} frames")
        looped = whole * (len(part) // len(whole) + 2) if "--loop" in options else whole
        place = find(looped, part, frame, at)
        begin, end, gaps = place // frame, (place + len(part)) // frame, []
        if place < 0:
            found = find_in_pieces(looped, part, frame, at) if "--gaps" in options else None
            if not found:
                tell_pieces(looped, part, frame, at, name)
            begin, end, gaps = found
        print(f"{name}: {len(part) // frame} frames, the same, at {begin}, after {before} of silence of its own")
        if gaps:
            print(f"  with gaps of {', '.join(map(str, gaps))} frames")
        if "--loop" not in options:
            begun = given_up(whole[at : begin * frame], part, frame)
            if begun is None:
                sys.exit(f"before {name} is something else than silence")
            for count in begun:
                print(f"  and before that its first {count}")
            at = end * frame
    if "--loop" not in options and whole[at:].strip(b"\0"):
        sys.exit("there is more than silence behind")


main()
