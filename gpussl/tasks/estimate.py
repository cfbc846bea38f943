"""What the random labels say: how good labels and model are, and what more labels would add."""

from collections import Counter
from collections.abc import Collection, Iterator

import numpy as np

from gpussl import seeds
from gpussl.classifier.holdout import stratified_folds
from gpussl.evaluate.advice import Advice, advise
from gpussl.evaluate.learning_curve import MIN_HOLDOUT, LabelBudget, Measured
from gpussl.numeric.arrays import row_blocks
from gpussl.protocols import Classifier
from gpussl.records import UNLABELLED, Answers
from gpussl.tasks import choose, student
from gpussl.tasks.checked import Checked, Crossed
from gpussl.tasks.own import OwnPoints
from gpussl.tasks.prepare import Context, Data
from gpussl.tasks.project import Project
from gpussl.tasks.spread import Spreading

N_FOLDS = 5
SHARES = (0.25,)  # of the labels: the learning curve has these points, and all labels
MOST_OTHERS = 20_000  # points without a label; more of them say nothing new of the accuracy
MOST_KNOWN = 0.01  # of all points, labelled for another reason than chance, that hardly change a mean
FEWEST = 100  # labels to forecast from: a quarter of fewer says too little


def random_sample(made: Project, points: OwnPoints) -> Counter[int]:
    """Return the labelled points of the random sample by place, each with the number of its copies in the sample.

    It is that of the latest round of which all random points are answered, and of later rounds those random points that
    are: of the later sample, points that were labelled for another reason would be too many.

    Examples
    --------
    >>> import tempfile
    >>> from gpussl.tasks import own
    >>> from gpussl.tasks.example import answered, on_fruit
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run_on = on_fruit(folder, "learn")
    ...     sample = random_sample(answered(folder), own.read(run_on))
    >>> sorted(sample)
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """
    places, answered = points.places(), made.answers()
    done = {places[item] for item in answered if item in places}
    found: list[str] = []
    for asked in reversed(made.rounds()):
        sample = [item for item in asked.audit if item in places]
        if all(places[item] in done for item in sample):
            found += sample
            break
        random = {places[item] for item, why in asked.asked.items() if why == choose.RANDOM and item in places}
        found += [item for item in sample if places[item] in random & done]
    return Counter(places[item] for item in dict.fromkeys(found))


def cross_fits(
    run_on: Context, data: Data, answers: Answers, folds: np.ndarray, n_classes: int, share: float = 1.0
) -> Iterator[tuple[np.ndarray, Answers, Classifier | None, np.ndarray]]:
    """For each fold from 0 of labels (m,), yield what a model of the other labels says of it.

    Parameters
    ----------
    folds : (m,) int array
        Labels of fold -1 are learnt from always.
    share : float
        Of the other labels; a smaller share is part of each larger one.

    Yields
    ------
    asked : (k,) int array
        The places of the labels of the fold.
    some : Answers
        The labels that were learnt from.
    model : Classifier or None
        None if they are of one class, which is then certain.
    proba : (k, n_classes) array

    Examples
    --------
    >>> import tempfile
    >>> from gpussl.tasks import own
    >>> from gpussl.tasks.example import answered, on_fruit
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run_on, made = on_fruit(folder, "learn"), answered(folder)
    ...     points = own.read(run_on)
    ...     answers, _ = own.known(made, points, run_on.twin)
    ...     data = own.represent(run_on, points)
    >>> with run_on.monitor.stage("check", run_on.twin):
    ...     for asked, some, _, proba in cross_fits(run_on, data, answers, np.arange(10) % 2, 2):
    ...         print(asked, len(some), proba.shape)
    [0 2 4 6 8] 5 (5, 2)
    [1 3 5 7 9] 5 (5, 2)
    """
    twin = run_on.twin
    indices, y = twin.to_numpy(answers.indices), twin.to_numpy(answers.labels)
    for fold in range(int(folds.max(initial=-1)) + 1):
        asked, others = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        if share < 1:
            order = seeds.generator(run_on.seed("check"), f"share/{fold}").permutation(others)
            others = np.sort(order[: max(1, round(share * len(others)))])
        some = Answers(twin.asarray(indices[others]), twin.asarray(y[others]))
        proba, present = np.zeros((len(asked), n_classes)), np.unique(y[others])
        if len(present) < 2:
            proba[:, present] = 1
            yield asked, some, None, proba
            continue
        model = choose.fitted(run_on, data, some, use=f"check/{fold}")
        X = data.X_train.take(twin.asarray(indices[asked]), axis=0)
        proba[:, model.classes_] = twin.to_numpy(model.predict_proba(X))
        yield asked, some, model, proba


def held_out(
    run_on: Context, data: Data, answers: Answers, classifier: Classifier, *, is_whole: bool = False
) -> np.ndarray:
    """Return the probabilities (m, n_classes) that models without their labels give the labelled points.

    Parameters
    ----------
    classifier : Classifier
        Fitted to all labels; if it has cross-validated, it knows the answer.
    is_whole : bool
        Whether no row may be unknown; otherwise such rows are NaN.

    Examples
    --------
    >>> import tempfile
    >>> from gpussl.tasks import own
    >>> from gpussl.tasks.example import answered, on_fruit
    >>> with tempfile.TemporaryDirectory() as folder, on_fruit(folder, "learn").monitor.live():
    ...     run_on, made = on_fruit(folder, "learn"), answered(folder)
    ...     points = own.read(run_on)
    ...     answers, _ = own.known(made, points, run_on.twin)
    ...     data = own.represent(run_on, points)
    ...     with run_on.monitor.stage("train", run_on.twin):
    ...         knn = choose.fitted(run_on, data, answers)
    ...     held_out(run_on, data, answers, knn).shape
    (10, 2)
    """
    known = classifier.held_out_
    if known is not None and not (is_whole and np.isnan(known).any()):
        return known
    indices, y = run_on.twin.to_numpy(answers.indices), run_on.twin.to_numpy(answers.labels)
    rng = seeds.generator(run_on.seed("propagate"), "held_out")
    folds = stratified_folds(y, indices, min(N_FOLDS, len(y)), rng)
    found = np.empty((len(y), len(classifier.classes_)))
    with run_on.monitor.stage("doubt", run_on.twin):
        for asked, _, _, proba in cross_fits(run_on, data, answers, folds, len(classifier.classes_)):
            found[asked] = proba
    return found


def check_accuracy(
    run_on: Context,
    sample: Counter[int],
    data: Data,
    answers: Answers,
    spreading: Spreading | None,
    sizes: np.ndarray | None = None,
    held: Collection[int] = (),
    *,
    is_whole: bool = False,
) -> Checked:
    """Predict each random point without its label, from as many others as possible.

    Parameters
    ----------
    sample : Counter
        See `random_sample`.
    sizes : (n,) int array, optional
        How many copies of each point there are; without it, the points are taken for a part of the data.
    held : collection of int
        The places of further points that are predicted without their labels, which tell nothing of the accuracy.
    is_whole : bool
        Whether all points without a label are predicted too, each by the model of one fold; otherwise a random part, or
        none if they would say nothing of the accuracy.

    Examples
    --------
    >>> import tempfile
    >>> from gpussl.tasks import own
    >>> from gpussl.tasks.example import answered, on_fruit
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run_on, made = on_fruit(folder, "learn"), answered(folder)
    ...     points = own.read(run_on)
    ...     answers, _ = own.known(made, points, run_on.twin)
    ...     check_accuracy(run_on, random_sample(made, points), own.represent(run_on, points), answers, None).n
    10
    """
    twin = run_on.twin
    indices, y = twin.to_numpy(answers.indices), twin.to_numpy(answers.labels)
    counts = np.array([sample[place] for place in indices.tolist()], dtype=np.int64)
    folds = _folds(run_on, indices, y, (counts > 0) | np.isin(indices, list(held)))
    predicted, as_new, chance = np.full(len(y), UNLABELLED), np.full(len(y), UNLABELLED), np.zeros(len(y))
    n = data.X_train.shape[0]
    has_mean = sizes is not None and sizes[indices[counts == 0]].sum() <= MOST_KNOWN * sizes.sum()
    others, of_fold = _others(run_on, n, indices, folds, n if is_whole else MOST_OTHERS if has_mean else 0)
    numbers, chance_of_others = np.full(len(others), UNLABELLED), np.zeros(len(others))
    with run_on.monitor.stage("check", twin) as stage:
        for fold, (asked, some, model, proba) in enumerate(cross_fits(run_on, data, answers, folds, int(y.max()) + 1)):
            shares = None if spreading is None or model is None else spreading.shares(some)
            if spreading is not None and shares is not None:
                proba = spreading.mixed(proba, shares[indices[asked]])
            predicted[asked] = as_new[asked] = proba.argmax(axis=1)
            chance[asked] = proba.max(axis=1)
            mine = np.flatnonzero(of_fold == fold)
            numbers[mine], chance_of_others[mine] = (
                (twin.to_numpy(some.labels)[0], 1.0)
                if model is None
                else predict(run_on, data, model, others[mine], spreading, shares)
            )
            if spreading is not None and shares is not None and model is not None:
                learner = student.fitted(
                    run_on, data, some, model, spreading, shares, indices[asked], use=f"check/{asked[0]}"
                )
                if learner is not None:
                    X = data.X_train.take(twin.asarray(indices[asked]), axis=0)
                    as_new[asked] = twin.to_numpy(learner.classifier.predict(X))
        stage.note = f"{folds.max() + 1} folds of {np.count_nonzero(folds >= 0):,} random points"
    return Checked(
        y,
        predicted,
        counts,
        predicted_as_new=None if spreading is None else as_new,
        chance=chance,
        crossed=Crossed(others, numbers, chance_of_others),
        mean_chance=_mean_chance(sizes, indices, counts, chance, others, chance_of_others)
        if sizes is not None and has_mean and len(others)
        else None,
        n_points=np.inf if sizes is None else float(sizes.sum()),
    )


def _mean_chance(
    sizes: np.ndarray,
    indices: np.ndarray,
    counts: np.ndarray,
    chance: np.ndarray,
    others: np.ndarray,
    chance_of_others: np.ndarray,
) -> float:
    """The mean probability of the predicted class over all points; see `Checked`. `others` may be a part of them."""
    drawn = counts > 0
    of_sample = sizes[indices[drawn]]
    n_others = sizes.sum() - sizes[indices].sum()
    mean = np.average(chance_of_others, weights=sizes[others])
    return float((of_sample @ chance[drawn] + n_others * mean) / (of_sample.sum() + n_others))


def predict(
    run_on: Context,
    data: Data,
    model: Classifier,
    places: np.ndarray,
    spreading: Spreading | None,
    shares: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the class number and its probability for the points at `places` (k,), with the labels that spread to them.

    Examples
    --------
    >>> import tempfile
    >>> from gpussl.classifier.knn import KNeighborsClassifier
    >>> from gpussl.tasks import own
    >>> from gpussl.tasks.example import on_fruit
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run_on = on_fruit(folder, "learn")
    ...     data = own.represent(run_on, own.read(run_on))
    >>> knn = KNeighborsClassifier(1).fit(data.X_train[[0, 29]], [0, 1])
    >>> numbers, _ = predict(run_on, data, knn, np.array([1, 28]), None, None)
    >>> numbers.tolist()
    [1, 0]
    """
    numbers, certainty = np.empty(len(places), dtype=np.int64), np.empty(len(places))
    if not len(places):
        return numbers, certainty
    for rows in row_blocks(len(places), 4 * data.X_train.shape[1] * 8):
        some = places[rows]
        proba = run_on.twin.to_numpy(model.predict_proba(data.X_train.take(run_on.twin.asarray(some), axis=0)))
        found = model.classes_[proba.argmax(axis=1)]
        if spreading is not None and shares is not None:
            of_all = np.zeros((len(some), spreading.n_classes))
            of_all[:, model.classes_] = proba
            proba = spreading.mixed(of_all, shares[some])
            found = proba.argmax(axis=1)
        numbers[rows], certainty[rows] = found, proba.max(axis=1)
    return numbers, certainty


def _others(
    run_on: Context, n: int, indices: np.ndarray, folds: np.ndarray, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """The places of points without a label, at most so many at random, and the fold whose model predicts each."""
    rng = seeds.generator(run_on.seed("check"), "others")
    others = np.setdiff1d(np.arange(n), indices)
    if most < len(others):
        others = np.sort(rng.permutation(others)[:most])
    return others, rng.integers(0, max(1, int(folds.max(initial=-1)) + 1), len(others))


def forecast(
    run_on: Context, sample: Counter[int], data: Data, answers: Answers, spreading: Spreading | None, checked: Checked
) -> Advice | None:
    """Forecast what as many labels again would add, from the accuracies with a part of the labels.

    None if there are too few labels, too few random ones among them, or if models of a part of them are no better than
    always saying the most frequent class: then nothing is known of how the accuracy grows.

    Parameters
    ----------
    checked : Checked
        The accuracy with all labels.

    Examples
    --------
    >>> import tempfile
    >>> from gpussl.tasks import own
    >>> from gpussl.tasks.example import answered, on_fruit
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run_on, made = on_fruit(folder, "learn"), answered(folder)
    ...     points = own.read(run_on)
    ...     answers, _ = own.known(made, points, run_on.twin)
    ...     data, sample = own.represent(run_on, points), random_sample(made, points)
    ...     checked = check_accuracy(run_on, sample, data, answers, None)
    ...     print(forecast(run_on, sample, data, answers, None, checked))  # of ten labels
    None
    """
    twin = run_on.twin
    indices, y = twin.to_numpy(answers.indices), twin.to_numpy(answers.labels)
    held = np.flatnonzero(checked.counts)
    if len(y) < FEWEST or len(held) < MIN_HOLDOUT:
        return None
    folds, n_classes = _folds(run_on, indices, y, checked.predicted != UNLABELLED), int(y.max()) + 1
    correct = np.zeros((len(SHARES) + 1, len(y)), dtype=bool)
    correct[-1] = checked.predicted == y
    n_others = len(y) - np.count_nonzero(folds >= 0) / N_FOLDS  # labels that each model has learnt from, on average
    with run_on.monitor.stage("forecast", twin) as stage:
        for row, share in enumerate(SHARES):
            for asked, some, _, proba in cross_fits(run_on, data, answers, folds, n_classes, share):
                said = proba if spreading is None else spreading.blended(proba, some, indices[asked])
                correct[row, asked] = said.argmax(axis=1) == y[asked]
        sizes = np.array([round(share * n_others) for share in (*SHARES, 1)])
        floor = float(np.bincount(y[held]).max() / len(held))
        measured = Measured("own", sizes, correct[None][:, :, held], is_reused=True, floor=floor)
        target = run_on.job.target
        budget = LabelBudget(n_labels=len(y)) if target is None else LabelBudget(n_labels=len(y), target=target)
        advice = advise(measured, budget, data.X_train.shape[0], run_on.seed("forecast"))
        stage.note = f"{', '.join(f'{size:,}' for size in sizes)} labels"
    return advice if advice.n_sizes > 1 else None


def _folds(run_on: Context, indices: np.ndarray, y: np.ndarray, is_held: np.ndarray) -> np.ndarray:
    """The folds (m,) of what is held out; -1 for all others, which are always learnt from, so that few are missing."""
    held, folds = np.flatnonzero(is_held), np.full(len(y), -1)
    if len(held):
        rng = seeds.generator(run_on.seed("check"), "folds")
        folds[held] = stratified_folds(y[held], indices[held], min(N_FOLDS, len(held)), rng)
    return folds
