"""The data of the demo: BasicMotions (a file in the sktime wheel) and scikit-learn's digits.

BasicMotions: four students walking, standing, running and playing badminton with a smartwatch;
3-axis accelerometer and gyroscope, 10 Hz, 40 training and 40 test cases of 10 s
(www.timeseriesclassification.com). Only the file is read; sktime is not imported.
"""

import hashlib
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from host.boards import BUILD
from host.errors import MissingError, VerificationError

CACHE = BUILD / "cache" / "datasets"
WHEEL = "sktime==0.40.1"
MEMBERS = {  # file in the wheel -> SHA-256 of its content
    "TRAIN": "8dc43cc6306cb679c888c01e26f91772ac4441a916da43bac8b79734a538b9d6",
    "TEST": "79213102bc6fca1a398ad98ce1185dff0208fa3d1465e687f48288946b0ff8dc",
}
ACTIVITIES = ("standing", "running", "walking", "badminton")
AXES = 6
CASE_SAMPLES = 100
MOTION_LSB = 1.0 / 512  # the signal reaches +-35: fits int16 counts twice over
DIGIT_LSB = 1.0 / 16  # scans count 0..16 dots


@dataclass(frozen=True, slots=True, eq=False)
class Cases:
    """Labelled recordings: counts int16 [cases, samples, channels], truth int64 [cases]."""

    counts: npt.NDArray[np.int16]
    truth: npt.NDArray[np.int64]


def basic_motions() -> tuple[Cases, Cases]:
    """Training and test cases of BasicMotions, 100 samples of 6 axes, in counts of MOTION_LSB."""
    return _motion_cases("TRAIN"), _motion_cases("TEST")


def _motion_cases(part: str) -> Cases:
    file = CACHE / f"BasicMotions_{part}.ts"
    if not _is_genuine(file, part):
        _fetch_basic_motions()
        if not _is_genuine(file, part):
            raise VerificationError(
                f"{file.name} of {WHEEL} is not the file this version was made with",
                "check the package index this machine uses, then remove build/cache/datasets",
            )
    lines = file.read_text(encoding="ascii").splitlines()
    rows = lines[lines.index("@data") + 1 :]
    cases, truth = [], []
    for row in rows:
        *axes, label = row.split(":")
        cases.append(np.array([axis.split(",") for axis in axes], dtype=np.float64).T)
        truth.append(ACTIVITIES.index(label.strip().lower()))
    values = np.stack(cases)
    assert values.shape == (40, CASE_SAMPLES, AXES)
    counts = np.clip(np.rint(values / MOTION_LSB), -32768, 32767).astype(np.int16)
    return Cases(counts, np.array(truth, dtype=np.int64))


def _is_genuine(file: Path, part: str) -> bool:
    return file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == MEMBERS[part]


def _fetch_basic_motions() -> None:
    CACHE.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--disable-pip-version-check", "--only-binary", ":all:", "-d", str(CACHE), WHEEL]
    fetched = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(CACHE.glob("sktime-*.whl"))
    if fetched.returncode != 0 or not wheels:
        reason = (fetched.stderr.strip() or "no wheel arrived").splitlines()[-1]
        raise MissingError(
            f"the demo's data did not arrive: pip download {WHEEL}: {reason}",
            "give pip a reachable package index and run it again",
        )
    with zipfile.ZipFile(wheels[0]) as wheel:
        for part in MEMBERS:
            name = f"BasicMotions_{part}.ts"
            content = wheel.read(f"sktime/datasets/data/BasicMotions/{name}")
            (CACHE / name).write_bytes(content)
    for path in wheels:
        path.unlink(missing_ok=True)  # 36 MB, of which 0.5 are needed


def digit_scans() -> tuple[Cases, Cases]:
    """Training and held-out scans of scikit-learn's digits: 64 samples of 1 channel each.

    The held-out part is a fifth of each class, chosen by a fixed seed.
    """
    from sklearn.datasets import load_digits

    scans = load_digits()
    counts = scans.images.reshape(len(scans.images), 64, 1).astype(np.int16)
    truth = scans.target.astype(np.int64)
    chooser = np.random.default_rng(20)
    held_out = np.zeros(len(truth), dtype=bool)
    for label in range(10):
        members = np.flatnonzero(truth == label)
        held_out[chooser.permutation(members)[: round(len(members) / 5)]] = True
    order = chooser.permutation(np.flatnonzero(held_out))  # mixed labels in replay order
    return Cases(counts[~held_out], truth[~held_out]), Cases(counts[order], truth[order])
