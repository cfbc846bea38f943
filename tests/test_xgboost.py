"""Boosted trees, stopped by held-out labels and by test labels."""

import numpy as np
import pytest
import xgboost

from gpussl.classifier.xgboost import XGBClassifier
from gpussl.errors import ConfigError
from gpussl.studies.watch import Watch
from gpussl.studies.xgboost_test_stopped import TestStoppedXGBClassifier
from tests.digits import IMAGES as DIGITS
from tests.digits import NAMES

TREES = {"n_estimators": 60, "early_stopping_rounds": 5, "reg_alpha": 0.1, "max_depth": 4, "learning_rate": 0.3}


class TestTrees:
    def test_rounds_up_to_the_best_are_grown_again_from_all_labels(self):
        said = []
        model = XGBClassifier(**TREES | {"n_estimators": 300})
        model.fit(DIGITS[:600], NAMES[:600], on_progress=lambda *step: said.append(step))
        first, again = said[: model.n_iter_], said[model.n_iter_ :]
        losses = [float(note.removeprefix("held-out log-loss ")) for *_, note in first]
        assert model.n_iter_ == model.best_iteration_ + 5 < 300
        assert model.validation_score_ == pytest.approx(min(losses), abs=1e-3)
        assert losses[model.best_iteration_ - 1] == pytest.approx(min(losses), abs=1e-3)
        rounds = model.best_iteration_
        assert again == [(done, rounds, "final training on all labels") for done in range(1, rounds + 1)]
        anew = xgboost.train(
            model._settings("cpu"),
            xgboost.QuantileDMatrix(DIGITS[:600], label=NAMES[:600], max_bin=model.max_bin),
            rounds,
        )
        assert model.booster_.save_raw() == anew.save_raw()
        assert np.mean(model.predict(DIGITS[600:]) == NAMES[600:]) > 0.85

    def test_copies_of_one_label_are_held_out_together(self, monkeypatch):
        seen = []
        train = xgboost.train
        monkeypatch.setattr(
            xgboost, "train", lambda *args, **kwargs: seen.append((args, kwargs)) or train(*args, **kwargs)
        )
        X = np.repeat(np.eye(20, dtype=np.float32), 5, axis=0)  # five copies of each of twenty points
        XGBClassifier(**TREES, min_held_out=0).fit(X, np.arange(100) // 50, groups=np.arange(100) // 5)
        ((_, learnt, _), settings), ((_, everything, _), _) = seen
        assert (learnt.num_row(), settings["evals"][0][0].num_row(), everything.num_row()) == (90, 10, 100)

    def test_the_watched_points_say_when_to_stop(self):
        scores = iter([0.1, 0.5, *[0.2] * 100])
        model = TestStoppedXGBClassifier(**TREES)
        model.watch = Watch(DIGITS[200:210], lambda predicted: next(scores))
        model.fit(DIGITS[:200], NAMES[:200])
        assert (model.best_iteration_, model.n_iter_, model.validation_score_) == (2, 7, 0.5)

    def test_class_numbers_may_be_any(self):
        of_these = np.isin(NAMES, [3, 8])
        seen = []
        model = TestStoppedXGBClassifier(n_estimators=3)
        model.watch = Watch(DIGITS[of_these][:50], lambda predicted: seen.extend(predicted.tolist()) or 0.5)
        model.fit(DIGITS[of_these], NAMES[of_these])
        assert set(model.predict(DIGITS[of_these]).tolist()) == set(seen) == {3, 8}

    def test_trees_without_a_split_are_called_so(self, monkeypatch):
        said = []
        monkeypatch.setattr("gpussl.runtime.console.say", said.append)
        XGBClassifier(n_estimators=3).fit(DIGITS[:200], NAMES[:200])
        assert not said
        XGBClassifier(n_estimators=3, reg_alpha=8).fit(DIGITS[:30], NAMES[:30])
        assert said[0].startswith(
            "xgboost: no tree has a split, so all points get the same class: 30 labels are too few"
        )

    def test_the_old_name_of_the_gpus_method_is_accepted(self):
        old, new = (XGBClassifier(n_estimators=3, tree_method=name) for name in ("gpu_hist", "hist"))
        found = [model.fit(DIGITS[:200], NAMES[:200]).predict(DIGITS) for model in (old, new)]
        np.testing.assert_array_equal(*found)
        with pytest.raises(ConfigError, match="tree_method: expected one of hist, gpu_hist, found 'exact'"):
            XGBClassifier(tree_method="exact")

    def test_the_settings_reach_xgboost(self):
        model = XGBClassifier(n_estimators=1, max_depth=7, reg_lambda=3.5, max_bin=16).fit(DIGITS[:200], NAMES[:200])
        kept = model.booster_.save_config()
        for setting in (
            '"max_depth":"7"',
            '"reg_lambda":"3.5"',
            '"max_bin":"16"',
            '"reg_alpha":"0"',
            '"min_child_weight":"0.0099',
            '"colsample_bynode":"0.3',
            '"subsample":"0.69',
        ):
            assert setting in kept.replace("\n", "").replace(" ", ""), setting
