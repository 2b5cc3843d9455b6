"""What `import earlybird` costs: neither torch nor transformers, and every public name on first use."""

import subprocess
import sys

import pytest

import earlybird

HEAVY = ("torch", "transformers", "accelerate", "arch", "ruptures", "scipy.stats")
CORE_MODULES = [
    "earlybird",
    "earlybird.criteria",
    "earlybird.errors",
    "earlybird.masks",
    "earlybird.ticket",
    "earlybird.trajectory",
    *[f"earlybird.detectors.{name}" for name in ("base", "detection", "draw", "hamming", "observe", "offline")],
    *[f"earlybird.detectors.{name}" for name in ("presets", "scores", "settings", "spans", "window")],
    *[f"earlybird.detectors.{name}" for name in ("comparison", "expression", "listing", "series")],
    *[f"earlybird.stationarity.{name}" for name in ("adf", "base", "equivalence", "least_squares")],
    *[f"earlybird.stationarity.{name}" for name in ("mann_kendall", "ols", "pelt", "phillips_perron")],
]
CORE_NAMES = [
    *["Draw", "InputError", "JobError", "Ticket", "Trajectory", "captured", "detect", "hamming_distance"],
    *["mask_at_ratio", "nuclear_norm", "overlap"],
]


def in_a_fresh_process(program):
    """What the program prints, run by a new interpreter."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def loaded_by(statements):
    heavy = ", ".join(map(repr, HEAVY))
    return in_a_fresh_process(f"import sys\n{statements}\nprint(*[m for m in ({heavy}) if m in sys.modules])")


def test_importing_the_package_imports_nothing_heavy():
    assert loaded_by("import earlybird; dir(earlybird); earlybird.__version__") == []


def test_the_core_modules_import_nothing_heavy():
    assert loaded_by("\n".join(f"import {name}" for name in CORE_MODULES)) == []


def test_the_core_names_import_nothing_heavy():
    assert loaded_by("import earlybird\n" + "\n".join(f"earlybird.{name}" for name in CORE_NAMES)) == []


def test_a_detection_imports_nothing_heavy():
    program = """
import numpy as np, earlybird as eb
scores = np.random.default_rng(0).random((1, 2, 8)).repeat(60, axis=0)
trajectory = eb.Trajectory.from_arrays(heads=scores)
for name in ("equivalence", "adf"):
    assert eb.detect(trajectory, heads=0.5, detector=name) is not None
"""
    assert loaded_by(program) == []


@pytest.mark.parametrize("name", earlybird.__all__)
def test_every_public_name_resolves(name):
    value = getattr(earlybird, name)
    assert value.__name__ == name
    assert value.__doc__


def test_the_public_names_are_listed_once():
    assert sorted(set(earlybird.__all__)) == sorted(earlybird.__all__)
    assert set(earlybird.__all__) <= set(dir(earlybird))
    assert set(CORE_NAMES) <= set(earlybird.__all__)


def test_no_public_name_hides_a_module_of_the_package():
    program = "import earlybird as eb, pkgutil; print(*[m.name for m in pkgutil.iter_modules(eb.__path__)])"
    assert not set(in_a_fresh_process(program)) & set(earlybird.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'earlybird' has no attribute 'mask_at_ration'"):
        earlybird.mask_at_ration  # noqa: B018
