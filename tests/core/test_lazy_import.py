"""What `import earlybird` costs: neither torch nor transformers, and every public name on first use."""

import pkgutil
import subprocess
import sys

import pytest

import earlybird

# No part of the numeric core imports these before it computes; some tests import their package then.
HEAVY = ("torch", "transformers", "accelerate", "arch", "ruptures", "scipy", "statsmodels", "pandas")
# What the extras bring.
OPTIONAL = (
    *("PIL", "arch", "datasets", "kornia", "lightning", "matplotlib", "onnx", "plotly", "pyarrow", "pydantic", "ray"),
    *("rich", "ruptures", "sklearn", "tensorboard", "timm", "typer", "yaml"),
)
CORE = ("config", "criteria", "detectors", "errors", "masks", "stationarity", "ticket", "trajectory")
CORE_NAMES = [
    *[
        "CompensationConfig",
        "DetectorConfig",
        "Draw",
        "InputError",
        "JobError",
        "PruningConfig",
        "SearchConfig",
        "SlimmingConfig",
        "Ticket",
    ],
    *["Trajectory", "captured", "detect", "hamming_distance", "mask_at_ratio", "nuclear_norm", "overlap"],
]


def in_a_fresh_process(program):
    """What the program prints, run by a new interpreter."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def loaded_by(statements, modules=HEAVY + OPTIONAL):
    """Those of the modules that a new interpreter has loaded after the statements."""
    return in_a_fresh_process(f"import sys\n{statements}\nprint(*[m for m in {modules!r} if m in sys.modules])")


def core_modules():
    """All modules of the numeric core."""
    names = [module.name for module in pkgutil.walk_packages(earlybird.__path__, "earlybird.")]
    return [name for name in names if name.split(".")[1] in CORE]


def test_importing_the_package_imports_nothing_heavy():
    assert loaded_by("import earlybird; dir(earlybird); earlybird.__version__", (*HEAVY, *OPTIONAL, "numpy")) == []


def test_the_core_modules_import_nothing_heavy():
    modules = core_modules()
    assert {name.split(".")[1] for name in modules} == set(CORE)
    assert loaded_by("\n".join(f"import {name}" for name in modules)) == []


def test_the_core_names_import_nothing_heavy():
    assert loaded_by("import earlybird\n" + "\n".join(f"earlybird.{name}" for name in CORE_NAMES)) == []


@pytest.mark.parametrize(
    ("detector", "needed"),
    [("rank-correlation", {"scipy"}), ("hamming", set()), ("mann-kendall", {"scipy"}), ("equivalence", set())],
)
def test_a_detection_imports_what_its_own_test_needs(detector, needed):
    program = f"""
import numpy as np, earlybird as eb
trajectory = eb.Trajectory.from_arrays(heads=np.random.default_rng(0).random((120, 2, 8)))
eb.detect(trajectory, eb.SearchConfig(heads=0.5, detector={detector!r}))
"""
    assert set(loaded_by(program)) == needed


def test_names_that_take_a_model_import_no_package_of_an_extra_and_leave_the_models_to_who_makes_one():
    modules = (*OPTIONAL, "transformers.modeling_utils")
    # transformers loads some of them wherever it finds them.
    theirs = loaded_by("import torch, transformers", modules)
    ours = loaded_by("import earlybird; earlybird.Search, earlybird.prune, earlybird.apply_mask", modules)
    assert set(ours) <= set(theirs)
    assert set(theirs) <= {"PIL", "yaml"}


def test_no_public_name_imports_a_package_of_an_extra():
    theirs = loaded_by("import torch, transformers; transformers.PreTrainedModel", OPTIONAL)
    ours = loaded_by("from earlybird import *", OPTIONAL)
    assert set(ours) <= set(theirs)
    assert set(theirs) <= {"PIL", "yaml"}


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
