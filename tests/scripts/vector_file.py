"""Reading golden vectors, on both interpreters."""

import json
import sys


def load(name):
    """Read <name>.json from the folder that the command line names."""
    with open(sys.argv[1] + "/" + name + ".json") as file:
        return json.load(file)


def untagged(value):
    """Turn the JSON form of a CBOR value back into the value."""
    if isinstance(value, dict):
        if "bytes" in value:
            return bytes.fromhex(value["bytes"])
        return {key: untagged(item) for key, item in value["map"]}
    if isinstance(value, list):
        return [untagged(item) for item in value]
    return value


def show(name, *values):
    """Print one deterministic line."""
    print(str(name) + ":", " ".join([str(value) for value in values]))
