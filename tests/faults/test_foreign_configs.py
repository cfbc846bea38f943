"""A stranger's folder of configurations can neither call functions nor write elsewhere."""

import textwrap

import pytest
from omegaconf import OmegaConf

from gpussl.errors import ConfigError
from gpussl.runtime import guard
from tests.faults.conftest import QUICK, files

CHECKED = "expected a class of Hydra or of one of its plugins"


@pytest.fixture
def refused(gpussl, tmp_path):
    """A function (a file of the folder, its text, overrides) -> the one line that refuses it."""

    def run(path, text, *overrides):
        (tmp_path / "c" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "c" / path).write_text(textwrap.dedent(text))
        before, others = files(tmp_path), [item for item in overrides if item != "-m"]
        ended = gpussl("--config-dir", "c", *[item for item in overrides if item == "-m"], *QUICK, *others)
        assert (ended.code, ended.err.count("\n")) == (2, 1)
        assert files(tmp_path) == before
        return ended.err

    return run


@pytest.mark.parametrize("mode", [[], ["-m"]])
@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("callbacks: {x: {_target_: distutils.spawn.spawn, cmd: [touch, owned]}}", CHECKED),
        ("callbacks: {x: {_target_: gpussl.runtime.store.write_text, path: owned, text: x}}", CHECKED),
        ("callbacks: {x: {_target_: hydra.utils.call}}", CHECKED),
        ("launcher: {_target_: os.system}", CHECKED),
        ("sweeper: {_target_: subprocess.run}", CHECKED),
        ("job_logging: {formatters: {x: {'()': os.system, command: touch owned}}}", "expected no such setting"),
        ("callbacks: {x: '${data}'}", "expected no reference but to hydra, found ${data}"),
        ("callbacks: '${data}'", "expected no reference but to hydra, found ${data}"),
        ("callbacks: {x: {_target_: 'hydra.experimental.callbacks.${name}'}}", CHECKED),
        ("callbacks: {x: {_target_: hydra.experimental.callbacks.logging.FileHandler, filename: owned}}", CHECKED),
        ("callbacks: {x: {_target_: gpussl.runtime.command.Gather.x}}", CHECKED),
        ("job_logging: '${data}'", "expected no reference but to hydra, found ${data}"),
        ("job: {env_set: '${data}'}", "expected no reference but to hydra, found ${data}"),
        ("job: {name: ../../owned}", "hydra.job.name: expected a word"),
        ("run: {dir: ''}", "hydra.run.dir: expected a folder, found none"),
        ("output_subdir: owned", "hydra.output_subdir: expected null"),
        (
            "job_logging: {handlers: {x: {class: logging.FileHandler, filename: owned}}}",
            "expected a stream, or a file in",
        ),
        ("hydra_logging: {handlers: {x: {class: logging.handlers.SMTPHandler}}}", "expected a stream, or a file in"),
        (
            "job_logging: {handlers: {x: {class: logging.StreamHandler, stream: 'ext://os.environ'}}}",
            "ext://sys.stdout",
        ),
        ("job_logging: {formatters: {x: {class: os.system}}}", "expected no class of its own"),
        ("job: {env_set: {PATH: /tmp}}", "expected a variable of threads or devices"),
    ],
)
def test_hydras_own_groups_call_nothing_else(refused, text, line, mode):
    assert line in refused(
        "experiment/evil.yaml", f"# @package _global_\nhydra:\n  {text}\n", "+experiment=evil", *mode
    )


def test_what_hydra_and_its_plugins_offer_is_allowed():
    guard.check_hydra(
        OmegaConf.create(
            """
            hydra:
              launcher: {_target_: hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher}
              sweeper:
                _target_: hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper
                sampler: {_target_: optuna.samplers.TPESampler}
              callbacks: {log: {_target_: hydra.experimental.callbacks.LogJobReturnCallback}}
              job: {env_set: {OMP_NUM_THREADS: 2, CUDA_VISIBLE_DEVICES: 0}}
              job_logging:
                handlers:
                  file: {class: logging.FileHandler, filename: "${hydra.runtime.output_dir}/x.log"}
                  console: {class: logging.StreamHandler, stream: "ext://sys.stderr"}
            """
        )
    )


def test_a_log_file_stays_in_the_run_folder():
    handlers = {"x": {"class": "logging.FileHandler", "filename": "${hydra.runtime.output_dir}/../../x.log"}}
    with pytest.raises(ConfigError, match="a file in"):
        guard.check_hydra(OmegaConf.create({"hydra": {"job_logging": {"handlers": handlers}}}))


@pytest.mark.parametrize("group", ["propagate", "classifier", "represent"])
def test_a_key_is_a_name_not_a_path(refused, group):
    target = {
        "propagate": "gpussl.propagate.cluster.ClusterPropagation",
        "classifier": "gpussl.classifier.knn.KNeighborsClassifier",
        "represent": "gpussl.represent.pixels.Pixels",
    }[group]
    line = refused(f"{group}/evil.yaml", f"../../x:\n  _target_: {target}\n", f"{group}=[evil]")
    assert f"{group}: expected a file name of at most 100 bytes without /, found '../../x'" in line


@pytest.mark.parametrize(
    ("target", "line"),
    [
        ("os.system", "expected a class of gpussl or of a module in plugins"),
        ("gpussl.cluster.kmeans.KMeans", "expected a dataclass with the base gpussl.protocols.Selection"),
        ("gpussl.runtime.store.write_text", "expected a dataclass with the base gpussl.protocols.Selection"),
        ("gpussl.records.Clustering", "expected a dataclass with the base gpussl.protocols.Selection"),
    ],
)
def test_a_class_of_another_group_is_refused(refused, target, line):
    assert line in refused("select/evil.yaml", f"_target_: {target}\n", "select=evil")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{train-imges-idx3-ubyte: ['00']}", "sha256.train-imges-idx3-ubyte: expected the name of a file"),
        ("{train-images-idx3-ubyte: []}", "sha256.train-images-idx3-ubyte: expected at least one checksum, found none"),
        ("[]", "data/evil.yaml: expected settings that fit each other"),
    ],
)
def test_a_checksum_that_is_stated_for_no_file_is_an_error(refused, text, line):
    text = f"defaults: [mnist, _self_]\nname: x\nsha256: {text}\n"
    assert line in refused("data/evil.yaml", text, "data=evil")


def bomb():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for level in range(1, 10):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]")
    return "\n".join(lines)


def test_a_dot_in_its_name_hides_no_file(refused):
    assert "expected at most 100,000 settings" in refused("data/evil.v1.yaml", bomb(), "data=evil.v1")


def test_a_search_path_imports_no_package(refused, tmp_path):
    (tmp_path / "evilpkg").mkdir()
    (tmp_path / "evilpkg" / "__init__.py").write_text("raise SystemExit(99)")
    line = refused("x.yaml", "a: 0", "hydra.searchpath=[pkg://evilpkg]")
    assert "hydra.searchpath: expected a folder, or a package of hydra or hydra_plugins" in line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (bomb(), "expected at most 100,000 settings, found more"),
        ("a: &a [*a]", "expected at most 100,000 settings, found more"),
        ("a: [", "expected YAML, found another file (did not find expected node content in line 2)"),
        ("[" * 5000, "expected YAML, found another file"),
        ("a: *b", "expected YAML, found another file"),
    ],
)
def test_a_file_that_is_no_plain_yaml_is_refused_at_once(refused, text, line):
    assert line in refused("data/evil.yaml", text, "data=evil")
