"""Each record of a slip: the right form meets the truth, the printed one does not."""

import math
import re

import numpy as np
import pytest

from refdiff import errata, gaussian, ode, predictors, schedule, toys, vae

PLACES = [erratum.place for erratum in errata.ERRATA]


@pytest.mark.identity
@pytest.mark.parametrize("erratum", errata.ERRATA, ids=PLACES)
def test_the_right_form_meets_the_truth(erratum):
    numbers = erratum.measure()
    assert numbers.right == pytest.approx(numbers.truth, rel=1e-11, abs=0)


@pytest.mark.control
@pytest.mark.parametrize("erratum", errata.ERRATA, ids=PLACES)
def test_the_printed_form_does_not(erratum):
    numbers = erratum.measure()
    assert not abs(numbers.printed / numbers.truth - 1) < 1e-3


def test_the_numbers_of_the_tutorial_map():
    """Ex 1.6 lies half a nat below; Thm 2.3 gives -2.1818 where -1.9640 is right."""
    (example,) = errata.find("Ex 1.6")
    numbers = example.measure()
    assert numbers.printed == pytest.approx(numbers.truth - 0.5, rel=1e-14)
    (theorem,) = errata.find("theorem 2.3")
    numbers = theorem.measure()
    assert (numbers.printed, numbers.right) == pytest.approx(
        (-2.1818, -1.9640), abs=5e-5
    )


@pytest.mark.oracle
def test_the_model_of_example_1_6_has_twice_the_variance():
    """What the record says follows from t = 1, s = sigma."""
    sigma, grid = 1.7, np.linspace(-20, 20, 2001)[:, None]
    decoder = vae.Decoder(sigma * np.eye(1), np.zeros(1), sigma**2 * np.eye(1))
    p = np.exp(vae.log_likelihood(grid, decoder)) * (grid[1, 0] - grid[0, 0])
    assert p @ grid[:, 0] ** 2 == pytest.approx(2 * sigma**2, rel=1e-10)
    assert gaussian.entropy(np.eye(1) * sigma**2) < gaussian.entropy(
        2 * np.eye(1) * sigma**2
    )


def test_the_places_are_those_of_the_chapters():
    """Those of the tutorial map and, beside them, those that we found ourselves."""
    assert PLACES == [
        *("Ex 1.3", "Ex 1.5", "Ex 1.6", "(1.34)", "(1.35)"),
        *("Thm 2.1", "Thm 2.3", "(2.26)", "Fig 2.9", "(2.28)", "Fig 2.11", "Thm 2.7"),
        *("Box 2.4 training", "Section 2.5", "Box 2.5 inference", "Thm 2.8", "(2.60)"),
        *("Section 3.1", "(3.5)", "(3.7)", "Thm 3.4", "Section 3.3"),
        *("Ex 4.1", "Section 4.2", "Ex 4.4", "Section 4.3", "(4.17)", "(4.18)"),
        *("(4.21)", "Ex 4.8", "Box 4.4 inference", "Section 4.4"),
        *("Section 5.1", "Thm 5.3", "(5.14)", "Def 5.2", "(5.23)", "Section 5.2"),
        *("Thm 5.7", "(5.34)", "Thm 5.8", "Def 5.4", "Thm 5.9", "Ex 5.4", "(5.42)"),
        *("(5.46)", "Thm 5.10", "(5.47)"),
    ]


def test_a_place_is_found_however_it_is_written():
    for text in ("2.26", "(2.26)", "eq 2.26", "Equation (2.26)"):
        assert [e.place for e in errata.find(text)] == ["(2.26)"]
    assert [e.place for e in errata.find("example 1.6")] == ["Ex 1.6"]
    assert [e.place for e in errata.find("box 2.4")] == ["Box 2.4 training"]
    assert [e.place for e in errata.find("2.5")] == ["Section 2.5", "Box 2.5 inference"]
    assert [e.place for e in errata.find("(2.44)")] == ["Thm 2.7"]  # as it mentions it
    assert [e.place for e in errata.find("Eqn 2.14")] == ["Thm 2.3"]
    assert errata.find("(2.8)") == []  # brackets mean an equation: not Thm 2.8
    places = [e.place for e in errata.find("4.4")]
    assert places == ["Ex 4.4", "Box 4.4 inference", "Section 4.4"]
    assert [e.place for e in errata.find("(4.23)")] == ["(4.17)"]
    assert [e.place for e in errata.find("definition 5.2")] == ["Def 5.2"]
    assert [e.place for e in errata.find("Ex 5.2")] == ["Section 5.1", "Def 5.2"]
    assert [e.place for e in errata.find("5.7")] == ["Thm 5.7"]
    assert errata.find("2.2") == []
    with pytest.raises(ValueError, match="a place is"):
        errata.find("two")


def test_what_is_printed_for_the_reader_names_both_forms_and_all_numbers():
    (erratum,) = errata.find("2.26")
    text = errata.report(erratum)
    assert "1 - sqrt(alpha_bar[t-1])" in text
    assert "0.0270087" in text
    assert text.count("0.05263157895") == 2
    assert all(place in errata.table() for place in PLACES)
    assert max(len(line) for line in errata.table().splitlines()) < 120


AB, ROOT = 0.9**10, np.sqrt(0.9)
S2, N2 = 0.9**5, 1 - 0.9**5
VAR_20 = 0.1 * (1 - 0.9**19) / (1 - 0.9**20)
KL = 0.5 * (0.6**2 + 0.5**2 - 1) - np.log(0.5)
# Thm 3.4: minus E x z q(x | x0) / (sigma E x^2), x = x0 + z/2; weighing by the density
# q = exp(-z^2/2) / (sigma sqrt(2 pi)) halves z's variance and its mass by sqrt(2)
SLOPE = -0.5 * 0.5 / 0.5 / (0.5 * np.sqrt(2 * np.pi) * np.sqrt(2)) / 1.25


def _rk4_with_k_1_exchanged():
    """x(1) of Ex 4.8, stage by stage, with x for t and t for x in the first."""
    x, h = 2.0, 1e-3
    for t in h * np.arange(1000):
        half, end = t + h / 2, t + h
        k1 = (t + x**2 - 2) / (x + 1)
        k2 = (x + h / 2 * k1 + half**2 - 2) / (half + 1)
        k3 = (x + h / 2 * k2 + half**2 - 2) / (half + 1)
        k4 = (x + h * k3 + end**2 - 2) / (end + 1)
        x += h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return x


def _mean_without_predictions():
    """Of steps that move to 2 sqrt(alpha_bar) by eps over the variance at t."""
    mean = 0.0
    for alpha_bar in 0.95 ** np.arange(100, 0, -1):
        rate = 0.1 * (1 - alpha_bar) / (1 - 0.75 * alpha_bar)
        mean = (1 - rate) * mean + rate * 2 * np.sqrt(alpha_bar)
    return mean


HALF = 0.975**2 / 0.95  # of the variance, what a step of (4.17) as printed leaves
PRINTED = {  # what the printed form gives, worked out on paper
    "Ex 1.3": 1 / 2,  # 1 / c
    "Ex 1.5": -0.5 * np.log(2 * np.pi) - np.log(0.4) - (0.04 + 0.04 + 0.25) / 0.32,
    "Ex 1.6": -0.5 * np.log(2 * np.pi * np.e * 1.7**2) - 0.5,
    "(1.34)": 0.5 * (0.75 - 3 + 0.09 + 0.16 + 1 - 2 * np.log(0.5)),
    "(1.35)": -0.5 * np.log(2 * np.pi * 0.64) - (0.36 + 0.25) / 1.28 + KL,
    "Thm 2.1": 1,
    "Thm 2.3": -1.9639854250535063 - 0.2 * np.sqrt(0.6) * 0.9 / 0.64,
    "(2.26)": 0.1 * (1 - ROOT) / 0.19,
    "Fig 2.9": 1,
    "(2.28)": 0.5,
    "Fig 2.11": math.erf(np.sqrt(VAR_20 / 2)),
    "Thm 2.7": -np.inf,
    "Box 2.4 training": AB,
    "Section 2.5": 3,
    "Box 2.5 inference": (1 - 0.1 / np.sqrt(N2) * S2**0.5 / (S2 + 4 * N2)) / ROOT,
    "Thm 2.8": 2 + 1.5,  # a similar matrix has the same trace
    "(2.60)": (1 - np.sqrt(1 - AB)) / np.sqrt(AB),
    "Section 3.1": 1 / (1 - 0.98**2),
    "(3.5)": 0.5,  # h^d / h
    "(3.7)": None,  # twice the right one
    "Thm 3.4": SLOPE,
    "Section 3.3": 1 / (1 - 0.6**2),  # alpha = 1 at sigma = 1/2: x <- 0.6 x + z
    "Ex 4.1": np.exp(-0.5),
    "Section 4.2": 0.01,  # N dt^2 = dt
    "Ex 4.4": 0.01 * (1 - 0.25**10) / 0.75,
    "Section 4.3": 0.5 + 1.5 * np.exp(-1),  # backwards, m' = 1/2 - m from 2
    "(4.17)": HALF**100 + 0.05 * (HALF**100 - 1) / (HALF - 1),
    "(4.18)": 4,
    "(4.21)": 0.75,
    "Ex 4.8": _rk4_with_k_1_exchanged(),
    "Box 4.4 inference": _mean_without_predictions(),
    "Section 4.4": 0.01 / (1 - 0.99**2),
    "Section 5.1": math.tanh(0.005) * (1 - np.exp(-2)),  # 100 kicks, each decaying
    "Thm 5.3": np.inf,
    "(5.14)": sum(math.prod(range(1, 2 * k, 2)) for k in range(20)),
    "Def 5.2": 2 - np.exp(-1),  # on the way to 2, where beta is D2 and beta/2 the pull
    "(5.23)": 1 - np.exp(-1),  # the law at t_2
    "Section 5.2": 2,
    "Thm 5.7": -1.5 - 1,
    "(5.34)": 2 * (3 + 1 / 6),
    "Thm 5.8": np.sqrt(3) / 2,
    "Def 5.4": 2**3 + 3 * 2 * 2,
    "Thm 5.9": 0.09 / 2**20,
    "Ex 5.4": -(0.25 + 1),
    "(5.42)": 1,
    "(5.46)": -1 / 8,
    "Thm 5.10": 0,
    "(5.47)": 10
    * (np.exp(-(1.05**2) / 2) - np.exp(-(0.95**2) / 2))
    / np.sqrt(2 * np.pi),
}


@pytest.mark.oracle
@pytest.mark.parametrize("erratum", errata.ERRATA, ids=PLACES)
def test_the_printed_number_is_that_of_the_printed_form(erratum):
    numbers = erratum.measure()
    printed = PRINTED[erratum.place]
    printed = 2 * numbers.right if printed is None else printed
    assert numbers.printed == pytest.approx(printed, rel=1e-11)


def test_a_box_is_found_by_its_half_and_an_equation_is_no_theorem():
    assert errata.find("Box 2.4 inference") == []
    assert errata.find("Thm 2.14") == []


@pytest.mark.control
@pytest.mark.parametrize(
    ("share", "mean", "std"), [(0.5, 4.0, 1.95), (1.0, 2.98, 1.01)]
)
def test_the_half_score_of_4_17_spreads_example_4_7(share, mean, std):
    """What the record says of the samples on one side of 0; 50,000 of them, as |x|."""
    mixture, sched = toys.example_4_6(), schedule.constant(100, 0.95)

    def step(xt, t, score, z, sched):
        return predictors.reverse_step(xt, t, share * score, z, sched)

    def model(x, level):
        return mixture.noised(level.signal, level.noise).score(x)

    rng = np.random.default_rng(0)
    chain = predictors.pc_chain(predictors.vp_predictor(sched, step))
    *_, x = chain.run(rng.standard_normal((50_000, 1)), model, rng=rng)
    assert abs(x).mean() == pytest.approx(mean, abs=0.04)  # 4.5 deviations or more
    assert x[x > 0].std() == pytest.approx(std, abs=0.04)


@pytest.mark.limit
def test_the_printed_rk4_solves_another_equation():
    """The record of Ex 4.8 says which: a sixth of it has x for t and t for x."""
    f, _ = ode.example_4_8()

    def mixed(x, t):
        return 5 / 6 * f(x, t) + 1 / 6 * f(t, x)

    *_, end = ode.reference_flow(mixed, np.array([2.0]), np.array([0.0, 1.0]))
    (example,) = errata.find("Ex 4.8")
    assert example.measure().printed == pytest.approx(end[0], rel=1e-4)


def value(formula, **given):
    """A formula as a reader would work it out: names, a space for a product, ^."""
    formula = re.sub(r"(?<=\d)(?=[a-z])", " ", formula)
    formula = formula.replace("[", "(").replace("]", ")")
    for name, number in sorted(given.items(), key=lambda v: -len(v[0])):
        formula = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", f"({number!r})", formula)
    formula = re.sub(r"(?<=[\d)]) +(?=[(a-z])", " * ", formula).replace("^", "**")
    return eval(formula, {"sqrt": np.sqrt, "exp": np.exp, "log": np.log})


def variance(formula, steps, start, x, score, **given):
    """Of a recursion as printed, from its factor of x and of z, if the score is -x."""
    right = formula.split(" = ")[-1]
    factor = value(right, **{x: 1.0, score: -1.0, "z": 0.0}, **given)
    kick = value(right, **{x: 0.0, score: 0.0, "z": 1.0}, **given)
    for _ in range(steps):
        start = factor**2 * start + kick**2
    return start


@pytest.mark.identity
def test_the_recursions_that_are_printed_have_the_variances_that_are_measured():
    for place, steps, start, x, score, given in (
        ("Ex 4.4", 10, 0.0, "x_{i-1}", "score", {"alpha": 1.0, "beta": 0.1, "dt": 0.1}),
        ("(4.17)", 100, 1.0, "x_i", "score", {"beta_i": 0.05}),
        ("Section 4.4", 2000, 0.0, "x", "s(x, sigma_i)", {"eps": 0.01}),
    ):
        erratum = next(e for e in errata.CHAPTER_4 if e.place == place)
        numbers = erratum.measure()
        for text, want in (
            (erratum.printed.replace("grad ", ""), numbers.printed),
            (erratum.right, numbers.truth),
        ):
            text = text.split(": ")[-1]
            got = variance(text, steps, start, x, score, **given)
            assert got == pytest.approx(want, rel=1e-11), (place, text)


@pytest.mark.identity
def test_the_formulas_that_are_printed_have_the_numbers_that_are_measured():
    records = {e.place: (e, e.measure()) for e in errata.CHAPTER_4}
    first, n = records["Ex 4.1"]
    power = first.right.split(" = ")[1]
    given = {"beta": 1.0, "dt": 0.1, "i": 10, "x_0": 1.0}
    assert value(power, **given) == pytest.approx(n.truth, rel=1e-13)
    curve = first.printed.split(" = ")[1].split(" is ")[0]
    assert value(curve, beta=1.0, t=1.0) == pytest.approx(n.printed, rel=1e-13)

    noise, n = records["(4.21)"]
    given = {"sigma_i": 1.0, "sigma_{i-1}": 0.5}
    for text, want in ((noise.printed, n.printed), (noise.right, n.truth)):
        got = value(text.split("variance ")[1], **given)
        assert got == pytest.approx(want, rel=1e-13)

    mixed, n = records["Ex 4.8"]
    solution = re.search(r"solution is (.*?) for any c", mixed.follows)[1]
    assert value(solution, t=0.0, c=0.0) == 2  # where it starts
    assert value(solution, t=1.0, c=0.0) == pytest.approx(n.truth, rel=1e-13)
    h, t = 1e-4, 0.6  # and it solves dx/dt = (x + t^2 - 2) / (t + 1), whatever c
    low, x, high = (value(solution, t=t + k * h, c=0.7) for k in (-1, 0, 1))
    assert (high - low) / (2 * h) == pytest.approx((x + t**2 - 2) / (t + 1), rel=1e-7)
    assert n.route.split(", ")[1] == "5 - 4 log 2"
    assert n.truth == pytest.approx(5 - 4 * np.log(2), rel=1e-13)

    coarse, _ = records["Ex 4.4"]
    said = re.findall(r"(beta\^2 / .*?) = ([\d.]+)[,.] ", coarse.follows)
    assert len(said) == 2
    for formula, number in said:
        assert value(formula, alpha=1.0, beta=0.1) == pytest.approx(
            float(number), abs=5e-5
        )


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("(4.17)", "means 4.0 and -4.0 where 2.98 and -2.98 are right"),
        ("(4.17)", "deviation of 1.95 where 1.01 is"),
        ("Ex 4.4", "= 0.0133, the equation"),
        ("Ex 4.8", "5/6 f(t, x) + 1/6 f(x, t)"),
        ("(4.21)", "the variance of its noise is twice the factor of its score"),
        ("Section 4.4", "keeps half of the variance"),
    ],
)
def test_the_record_says_what_is_measured_elsewhere(place, words):
    (record,) = [e for e in errata.CHAPTER_4 if e.place == place]
    assert words in record.follows


@pytest.mark.control
def test_what_is_right_of_ex_4_8_is_computed_by_rk4(monkeypatch):
    """With Euler's method in its place the right form would not be right."""
    (example,) = errata.find("Ex 4.8")
    monkeypatch.setattr(ode, "RK4", ode.EULER)
    numbers = example.measure()
    assert 1e-4 < abs(numbers.right - numbers.truth) < 1e-2
