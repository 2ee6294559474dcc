"""Manifest, COSE, package and replay image against their vectors. Usage: check_package.py VECTORS"""

from vector_file import load, show, untagged

from protocol import cbor, cose, keyset, manifest, package, replay


def edited(base, case):
    """A fresh copy of a manifest with one field set or deleted."""
    changed = cbor.decode(base)
    node = changed
    keys = [int(key) if key.isdigit() else key for key in case["field"].split(".")]
    for key in keys[:-1]:
        node = node[key]
    if "delete" in case:
        del node[keys[-1]]
    else:
        node[keys[-1]] = untagged(case["value"])
    return changed


def check_manifest():
    """Valid and broken manifests."""
    vectors = load("manifest")
    for text in vectors["valid"]:
        data = bytes.fromhex(text)
        content = manifest.parse(data)
        show("valid", content["app"], len(content["tasks"]), cbor.encode(content) == data)
    base = bytes.fromhex(vectors["valid"][0])
    for case in vectors["bad_fields"]:
        try:
            manifest.validate(edited(base, case))
            show("FAIL: accepted", case["field"])
        except manifest.ManifestError as error:
            show(case["field"], error.path == case["path"], error)
    for text in vectors["bad"]:
        try:
            manifest.parse(bytes.fromhex(text))
            show("FAIL: accepted", text[:20])
        except manifest.ManifestError as error:
            show(text[:20] or "nothing", error)


def check_package():
    """The head, the envelope, the payloads; then every single byte changed."""
    for case in load("package")["packages"]:
        data = bytes.fromhex(case["file"])
        envelope = package.envelope(data)
        content = manifest.parse(envelope.payload)
        package.check_layout(data, content)
        payloads = [package.payload(data, content, i) for i in range(len(content["payloads"]))]
        show(
            "package",
            envelope.kid.hex() == case["kid"],
            envelope.protected.hex() == case["protected"],
            bytes(envelope.payload).hex() == case["manifest"],
            bytes(package.key_set(data)).hex() == case["key_set"],
            envelope.signature.hex() == case["signature"],
            cose.to_be_signed(envelope.protected, envelope.payload).hex() == case["to_be_signed"],
            [bytes(item).hex() for item in payloads] == case["payloads"],
        )
        reasons = {}
        changed = bytearray(data)
        for i in range(0, len(data), 3):
            changed[i] ^= 0x21
            reason = outcome(changed)
            reasons[reason] = reasons.get(reason, 0) + 1
            changed[i] ^= 0x21
        for reason in sorted(reasons):
            show("  one byte changed", reasons[reason], reason)
        lengths = [size for size in range(len(data)) if outcome(data[:size]) == "accepted"]
        show("  prefixes accepted", lengths)


def outcome(data):
    """Kind of error that a changed file meets; content that only the signature protects is accepted."""
    try:
        keyset.parse(package.key_set(data))
        envelope = package.envelope(data)
        content = manifest.parse(envelope.payload)
        package.check_layout(data, content)
    except keyset.KeySetError:
        return "KeySetError"
    except cose.CoseError:
        return "CoseError"
    except manifest.ManifestError:
        return "ManifestError"
    except package.PackageError:
        return "PackageError"
    return "accepted"


def check_replay():
    """Valid and broken replay images."""
    vectors = load("replay")
    for case in vectors["valid"]:
        data = bytes.fromhex(case["hex"])
        record = replay.find(data, case["name"])
        show(
            "replay",
            record.sample_count == case["samples"],
            record.channels == case["channels"],
            record.window_count == len(case["starts"]),
            replay.find(data, "nobody"),
        )
        start = record.data_offset
        samples = data[start : start + 2 * record.sample_count * record.channels]
        stream = (case["name"], samples, case["channels"], case["starts"])
        show("  built again", replay.build([stream]) == data)
    for case in vectors["bad"]:
        try:
            replay.parse(bytes.fromhex(case["hex"]))
            show("FAIL: accepted", case["why"])
        except replay.ReplayError as error:
            show(case["why"], error)


check_manifest()
check_package()
check_replay()
