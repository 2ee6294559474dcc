"""Key sets against their vectors, then with every bit flipped and cut at every length. Usage: check_keyset.py VECTORS"""

import _tactus
from vector_file import load, show

from protocol import cose, keyset


def is_good(signature, key, message):
    """The board's own check."""
    check = _tactus.ed25519_begin(signature, key)
    _tactus.ed25519_update(check, message)
    code = 1
    while code == 1:
        code = _tactus.ed25519_step(check)
    return code == 0


def judged(document, roots, threshold):
    """`shape`, `refused` or `good`."""
    try:
        found = keyset.parse(document)
    except (keyset.KeySetError, cose.CoseError):
        return "shape"
    return "good" if keyset.verify(found, roots, threshold, is_good) else "refused"


def check_cases():
    """Each vector by its name."""
    for case in load("keyset")["cases"]:
        document = bytes.fromhex(case["document"])
        if not case["shape"]:
            show(case["name"], judged(document, [], 1) == "shape")
            continue
        roots = [bytes.fromhex(root) for root in case["roots"]]
        verdict = judged(document, roots, case["threshold"])
        show(case["name"], verdict == ("good" if case["good"] else "refused"), verdict)


def check_damage():
    """One bit of each byte in turn, all eight of every fifth; every shorter file."""
    cases = {case["name"]: case for case in load("keyset")["cases"]}
    case = cases["two of three, two asked"]
    document = bytearray(bytes.fromhex(case["document"]))
    roots = [bytes.fromhex(root) for root in case["roots"]]
    found = {"shape": 0, "refused": 0, "good": 0}
    for at in range(len(document)):
        for bit in range(8) if at % 5 == 0 else (at % 8,):
            document[at] ^= 1 << bit
            found[judged(document, roots, 2)] += 1
            document[at] ^= 1 << bit
    show("bits flipped, good ones", found["good"] == 0, found["shape"], found["refused"])
    whole = bytes(document)
    lengths = [size for size in range(len(whole)) if judged(whole[:size], roots, 2) != "shape"]
    show("shorter ones that parse", lengths)
    show("whole again", judged(document, roots, 2) == "good")


check_cases()
check_damage()
