"""The reproduction: every published figure stands in an experiment, and every sweep and artifact is made of one."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from benchmarks import studies

STUDY_B = [  # row, labels or clusters, percentile, LR, NN: Das and Thada, 2021
    ("B1", 60000, None, 84.1, 89.68),
    ("B2", 100, None, 82.62, None),
    ("B2", 200, None, 83.89, None),
    ("B2", 300, None, 84.56, None),
    ("B3", 500, None, 78.52, 73.51),
    ("B3", 1000, None, 79.24, 76),
    ("B3", 2000, None, 80.89, 78.53),
    ("B4", 500, None, None, 75.5),
    ("B4", 1000, None, None, 76.36),
    ("B4", 2000, None, 81.46, 80.24),
    ("B5", 500, None, None, 76.49),
    ("B5", 1000, None, None, 77.8),
    ("B5", 2000, None, 81.21, 79.9),
    ("B6", 500, 25, None, 75.98),
    ("B6", 1000, 25, None, 77.34),
    ("B6", 2000, 25, 80.44, 79.42),
    ("B7", 2000, 20, None, 10),
    ("B7", 2000, 25, None, 79.42),
    ("B7", 2000, 30, None, 80.12),
    ("B7", 2000, 50, None, 80.12),
    ("B7", 2000, 75, None, 79.6),
]
NAMES = [
    "log_reg_orig", "log_reg_kmeans_0", "log_reg_kmeans_1", "log_reg_kmeans_2", "log_reg_few_label_0",
    "log_reg_few_label_1", "log_reg_few_label_2", "kmeans_2000", "log_reg_centroids", "log_reg_propagated",
    "log_reg_partially_propagated", "nn_original", "nn_labelled_500", "nn_labelled_1000", "nn_labelled_2000",
    "cluster_nn_500", "cluster_nn_1000", "cluster_nn_2000", "nn_centroid_cluster_500", "nn_centroid_cluster_1000",
    "nn_centroid_cluster_2000", "nn_full_propagated_500", "nn_full_propagated_1000", "nn_full_propagated_2000",
    "nn_partially_propagated_500", "nn_partially_propagated_1000", "nn_partially_propagated_2000",
    "nn_partially_propagated_2000-clusters_20-percentile", "nn_partially_propagated_2000-clusters_25-percentile",
    "nn_partially_propagated_2000-clusters_30-percentile", "nn_partially_propagated_2000-clusters_50-percentile",
    "nn_partially_propagated_2000-clusters_75-percentile",
]  # fmt: skip


def entries(composed):
    """Every published entry of every experiment that the reproduction runs."""
    for name in dict.fromkeys(sweep.experiment for sweep in studies.SWEEPS):
        yield from composed(f"+experiment={name}").published


def test_every_figure_of_study_b_stands_in_its_experiment(composed):
    found = {
        (entry.row, entry.n_clusters or entry.n_labels, entry.percentile, classifier): entry.accuracy
        for entry in entries(composed)
        for classifier in entry.classifier
    }
    for row, n, percentile, logistic, network in STUDY_B:
        assert found.get((row, n, percentile, "logistic_study")) == logistic, row
        assert (
            found.get((row, n, percentile, "mlp_study")) == found.get((row, n, percentile, "study_convnet")) == network
        ), row


def test_every_figure_of_study_a_stands_in_its_experiment(composed):
    found = {(entry.row, next(iter(entry.classifier)), entry.accuracy) for entry in entries(composed)}
    assert {
        ("A1", "clusters", 51.73),
        ("A3", "knn_3", 97.05),
        ("A4", "xgboost_study", 80),
        ("A4", "xgboost_study", 90),
    } <= found


def test_every_artifact_has_the_studys_name():
    assert [name for name in NAMES if name not in studies.ARTIFACTS] == []
    assert sorted(set(studies.ARTIFACTS) - set(NAMES)) == ["kmeans_100", "kmeans_200", "kmeans_300"]
    assert len(studies.ARTIFACTS) == 35


def test_every_artifact_is_made_by_a_job_of_its_sweep(composed):
    jobs = {}  # of each sweep: the configuration, and the values that each setting takes
    for sweep in {sweep for sweep, _, _ in studies.ARTIFACTS.values()}:
        (chosen,) = [each for each in studies.SWEEPS if each.name == sweep and not each.full]
        given = OverridesParser.create().parse_overrides(list(chosen.overrides))
        fixed = [item.input_line for item in given if not item.is_sweep_override()]
        cfg = composed(f"+experiment={chosen.experiment}", *fixed, return_hydra_config=True)
        swept = {key: str(values).split(",") for key, values in (cfg.hydra.sweeper.params or {}).items()}
        swept |= {item.key_or_group: [str(v) for v in item.value().list] for item in given if item.is_sweep_override()}
        jobs[sweep] = cfg, swept
    for name, (sweep, settings, file) in studies.ARTIFACTS.items():
        cfg, swept = jobs[sweep]
        for key, value in settings.items():
            assert str(value) in swept[key], name
        if file != "clustering":
            labels, _, classifier = file.removeprefix("models/").partition("-")
            assert labels in cfg.propagate, name
            assert classifier in cfg.classifier, name


def test_every_table_has_its_title_and_its_notes():
    assert set(studies.TITLES) == set(studies.NOTES) == {sweep.table for sweep in studies.SWEEPS}


@pytest.mark.parametrize(
    ("mean", "half", "published", "word"),
    [
        (82.0, 0.5, 81.0, "above"),
        (81.2, 0.5, 81.0, "met"),
        (80.9, 0.5, 81.0, "**below**, within the interval"),
        (80.0, 0.5, 81.0, "**below**"),
        (97.05, None, 97.05, "met"),
        (98.0, None, 97.05, "met"),
        (97.0, None, 97.05, "**below**"),
        (50.0, 0.1, None, ""),
    ],
)
def test_ours_is_called_above_only_where_the_interval_says_so(mean, half, published, word):
    assert studies.verdict(mean, half, published) == word


def test_a_row_that_falls_short_is_shown():
    row = dict(zip(("select", "propagation", "percentile"), ("first", "none", ""), strict=True))
    row |= {
        "classifier": "logistic",
        "n_clusters": "",
        "n_labels": "500",
        "test_accuracy": "0.70",
        "half_width": "0.01",
    }
    row |= {"published": "78.52", "n_seeds": "5", "fit_seconds": "1.25", "predict_seconds": "0.25", "sweep": "x"}
    row["device"] = "cpu (x86_64)"
    table = studies.render_table("B3", [row])
    assert "| first labels | logistic | 500 | 78.52 | 70.00 ± 1.00 | **below** | 5 | 1.5 | cpu (x86_64) |" in table


@pytest.mark.parametrize("argument", ["seed=0", "full=yes", "nonsense"])
def test_wrong_arguments_are_refused(argument, capsys):
    with pytest.raises(SystemExit, match="2"):
        studies.main([argument])
    assert capsys.readouterr().err.startswith("gpussl: error: expected seeds=")


def test_sweeps_have_names_of_their_own():
    names = [sweep.name for sweep in studies.SWEEPS]
    assert len(set(names)) == len(names)
