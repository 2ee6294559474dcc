"""Packages: the same inputs give the same bytes, and no other bytes are taken for a package."""

import hashlib
import io
import json
import stat
import struct
import threading
from dataclasses import replace

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from package_samples import EVIDENCE, KEY, ROOT, ROOTS, SIGNER, model, package, plan_image, task
from rich.console import Console

from host.errors import DoesNotFitError, ExitCode, MissingError, UsageError
from host.package import canonical, keys
from host.package.evidence import evidence_bytes
from host.package.inspect import inspect_package, package_tables
from host.package.keys_roots import RootKeys
from host.package.keys_set import FOREVER, key_id, sign_key_set
from host.package.read import PackageError, parse_package, read_package
from host.package.write import f32_bits
from protocol import cbor, cose, errors

PUBLIC = keys.public_bytes(KEY)
PACKAGE = package()


def code_of(data: bytes, roots: RootKeys = ROOTS) -> int:
    """The code that reading refuses with."""
    with pytest.raises(PackageError) as caught:
        read_package(data, roots)
    assert caught.value.exit_code == ExitCode.VERIFICATION and caught.value.remedy
    return caught.value.code


def resigned(manifest: dict, original: bytes = PACKAGE, key: Ed25519PrivateKey = KEY) -> bytes:
    """The package with another manifest, properly signed; payloads stay where they are."""
    info = parse_package(original)
    body = cbor2.dumps(manifest, canonical=True)
    protected = cbor2.dumps({1: -8, 4: key_id(keys.public_bytes(key))})
    signature = key.sign(cose.to_be_signed(protected, body))
    envelope = cbor2.dumps(cbor2.CBORTag(18, [protected, {}, body, signature]))
    start = 16 + -(-info.envelope_bytes // 16) * 16
    padded = envelope.ljust(-(-len(envelope) // 16) * 16, b"\0")
    rest = original[start:]
    total = 16 + len(padded) + len(rest)
    head = struct.pack("<4sII", b"TPK1", len(envelope), total) + original[12:16]
    return head + padded + rest


def test_a_package_comes_back_as_it_went_in():
    info = read_package(PACKAGE, ROOTS)
    assert (info.app, info.version, info.manifest["counter"]) == ("demo", "1.2.0", 3)
    assert info.sha256 == hashlib.sha256(PACKAGE).digest()
    assert info.manifest["evidence_sha256"] == hashlib.sha256(EVIDENCE).digest()
    assert info.manifest["target"] == {
        "class": "armv7e-m",
        "features": ["dsp"],
        "kernels": 0b101000,
        "plan": 1,
        "arena_bytes": 8192,
    }
    motion, digits = info.manifest["tasks"]
    assert motion["budget_us"] == 340 and motion["longest_op_us"] == 300
    assert motion["input"]["scale_f32"] == f32_bits(0.0625) == 0x3D800000
    assert info.plan(0) == model("motion").image
    assert info.plan(1) == plan_image(0b1000, 1001, 6)
    assert digits["arena_offset"] == 4096
    vector = motion["selftest"][0]
    assert info.payloads[vector["input"]].data == bytes(360)
    assert vector["output_sha256"] == hashlib.sha256(b"\x01\x02\x03\x04").digest()


def test_equal_payloads_are_stored_once():
    info = parse_package(PACKAGE)
    assert [p.name for p in info.payloads] == ["motion", "motion.selftest0", "digits"]


def test_the_same_inputs_give_the_same_bytes():
    assert package() == PACKAGE
    assert package(signer=replace(SIGNER, key=Ed25519PrivateKey.generate())) != PACKAGE
    assert package(evidence=b"other") != PACKAGE


def test_another_cbor_reader_sees_a_cose_sign1_with_a_sorted_manifest():
    size = int.from_bytes(PACKAGE[4:8], "little")
    envelope = cbor2.loads(PACKAGE[16 : 16 + size])
    assert envelope.tag == 18
    protected, unprotected, manifest, signature = envelope.value
    assert cbor2.loads(protected) == {1: -8, 4: hashlib.sha256(PUBLIC).digest()[:8]}
    assert unprotected == {}
    structure = cbor2.dumps(["Signature1", protected, b"", manifest])
    KEY.public_key().verify(signature, structure)
    names = [cbor2.dumps(name) for name in cbor2.loads(manifest)]
    assert names == sorted(names)


@given(st.data())
def test_no_changed_byte_passes(data):
    at = data.draw(st.integers(0, len(PACKAGE) - 1))
    bit = data.draw(st.integers(0, 7))
    changed = bytearray(PACKAGE)
    changed[at] ^= 1 << bit
    with pytest.raises(PackageError):
        read_package(bytes(changed), ROOTS)


@given(st.integers(0, len(PACKAGE) - 1), st.binary(max_size=40))
def test_no_cut_or_lengthened_file_passes(size, tail):
    for data in (PACKAGE[:size], PACKAGE[:size] + tail, PACKAGE + tail):
        if data != PACKAGE:
            with pytest.raises(PackageError):
                read_package(data, ROOTS)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_refused_without_a_traceback(data):
    assert code_of(data) == errors.PKG_FORMAT
    assert code_of(b"TPK1" + data) == errors.PKG_FORMAT


def test_a_changed_payload_is_a_digest_error():
    changed = bytearray(PACKAGE)
    changed[parse_package(PACKAGE).payloads[0].offset + 100] ^= 1
    assert code_of(bytes(changed)) == errors.PKG_DIGEST


def test_a_wrong_signature_and_an_unknown_key_are_told_apart():
    size = int.from_bytes(PACKAGE[4:8], "little")
    changed = bytearray(PACKAGE)
    changed[16 + size - 1] ^= 1
    assert code_of(bytes(changed)) == errors.PKG_SIGNATURE
    stranger = Ed25519PrivateKey.generate()
    assert code_of(package(signer=replace(SIGNER, key=stranger))) == errors.PKG_KEY
    other = RootKeys((keys.public_bytes(stranger),), 1)
    assert code_of(PACKAGE, other) == errors.PKG_KEYSET
    revoking = sign_key_set(2, FOREVER, [bytes(32)], [key_id(PUBLIC)], [ROOT])
    assert code_of(package(signer=replace(SIGNER, key_set=revoking))) == errors.PKG_REVOKED


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"extra": 1},
        {"counter": -1},
        {"counter": 1.5},
        {"tasks": []},
        {"app": ""},
        {"evidence_sha256": b"short"},
    ],
    ids=str,
)
def test_a_signed_manifest_that_breaks_the_schema_is_refused(change):
    manifest = parse_package(PACKAGE).manifest | change
    assert code_of(resigned(manifest)) == errors.PKG_FORMAT


def test_resigning_an_unchanged_manifest_gives_the_package_again():
    assert resigned(parse_package(PACKAGE).manifest) == PACKAGE


def test_a_payload_that_points_elsewhere_is_refused():
    manifest = parse_package(PACKAGE).manifest
    payloads = [dict(entry) for entry in manifest["payloads"]]
    payloads[0]["offset"], payloads[1]["offset"] = payloads[1]["offset"], payloads[0]["offset"]
    assert code_of(resigned(manifest | {"payloads": payloads})) == errors.PKG_FORMAT


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"period_us": 0}, "period_us"),
        ({"deadline_us": 2_000_000}, "deadline_us"),
        ({"policy": "hope"}, "policy"),
        ({"name": "link"}, "name"),
        ({"labels": ("a", "b")}, "labels"),
        ({"arena_offset": 8}, "arena_offset"),
    ],
)
def test_what_the_format_cannot_say_is_refused_when_writing(changes, named):
    with pytest.raises(UsageError, match=named) as caught:
        package(tasks=(task(**changes),))
    assert "SPEC.md" in caught.value.remedy


def test_a_package_larger_than_the_slot_says_by_how_much():
    with pytest.raises(DoesNotFitError, match=str(len(PACKAGE))) as caught:
        package(limit_bytes=len(PACKAGE) - 5)
    assert "5 bytes" in caught.value.remedy
    assert package(limit_bytes=len(PACKAGE)) == PACKAGE


manifest_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=30) | st.integers(-300, 300), inner, max_size=5)
    ),
    max_leaves=12,
)


def nesting(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max((nesting(item) for item in value.values()), default=0)
    if isinstance(value, list):
        return 1 + max((nesting(item) for item in value), default=0)
    return 0


@given(manifest_values.filter(lambda value: nesting(value) <= 6))
def test_two_encoders_and_two_decoders_agree_on_every_manifest_value(value):
    data = canonical.encode(value)
    assert data == cbor.encode(value)
    assert cbor.decode(data, canonical=True) == value == cbor2.loads(data)


def test_keys_sort_by_their_bytes_and_not_by_length():
    # RFC 8949, 4.2.1, has this very order as its example.
    assert canonical.encode({"aa": 1, 100: 2, -1: 3, "z": 4, 10: 5, "": 6}).hex() == (
        "a6" + "0a05" + "186402" + "2003" + "6006" + "617a04" + "62616101"
    )


@pytest.mark.parametrize("value", [1.5, {"a": 0.0}, {1.5: 1}, {(1,): 1}, 2**64, {1, 2}, object()])
def test_what_has_no_deterministic_encoding_is_refused(value):
    with pytest.raises(canonical.CanonicalError):
        canonical.encode(value)


def test_a_demo_key_is_made_once_and_only_its_owner_reads_it(tmp_path):
    path = tmp_path / "keys" / "demo.pem"
    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: found.append(keys.public_bytes(keys.demo_key(path))))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1 and len(found) == 4
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [item.name for item in path.parent.iterdir()] == ["demo.pem"]


def test_a_missing_or_foreign_key_file_says_how_to_make_one(tmp_path):
    with pytest.raises(MissingError, match="no signing key") as caught:
        keys.load_key(tmp_path / "none.pem")
    assert "keys create" in caught.value.remedy
    (tmp_path / "text.pem").write_text("hello")
    (tmp_path / "text.pem").chmod(0o600)
    with pytest.raises(UsageError, match="not an unencrypted private key"):
        keys.load_key(tmp_path / "text.pem")


def test_inspection_tells_signer_tasks_and_real_numbers():
    seen = inspect_package(PACKAGE, ROOTS)
    json.dumps(seen)
    assert seen["signature"] == "valid" and seen["signer"] == key_id(PUBLIC).hex()
    assert seen["tasks"][0]["input"]["scale"] == 0.0625
    assert seen["tasks"][0]["source"]["lsb"] == pytest.approx(0.001)
    assert seen["tasks"][1]["plan"] == "digits"
    assert seen["key_set_version"] == 1 and seen["key_set_expires"] == 0
    assert "not checked" in inspect_package(PACKAGE)["signature"]
    other = RootKeys((bytes(32),), 1)
    assert "root keys" in inspect_package(PACKAGE, other)["signature"]


def test_the_inspection_table_shows_the_essentials():
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(package_tables(inspect_package(PACKAGE, ROOTS)))
    text = console.export_text()
    for word in ("demo 1.2.0", "armv7e-m", "valid", "motion", "1,000,000 us", "digits"):
        assert word in text, text


def test_evidence_is_deterministic_and_complete():
    def make(order: int) -> bytes:
        versions = {"torch": "2.13.0", "executorch": "1.5.1"}
        if order:
            versions = dict(reversed(versions.items()))
        models = [model("motion"), model("digits")]
        return evidence_bytes("demo", "1", "host", models, versions, {"parity": {"windows": 40}})

    assert make(0) == make(1)
    seen = json.loads(make(0))
    assert seen["models"][0]["memory_plan"][1]["offset"] == 368
    assert seen["models"][0]["coverage"] == {"aten.convolution": 1, "aten.linear": 1}
    assert seen["parity"] == {"windows": 40} and seen["versions"]["torch"] == "2.13.0"
