"""Fitted laws: what is saved is read back, intervals are the members', bad files are named."""

import json
from dataclasses import replace

import numpy as np
import pytest
from factories import random_law

from simlib.datasets import FOLDER, law_names, load_fitted, load_law
from simlib.errors import InputError
from simlib.fit.fittedlaw import Derived, FittedLaw, read_law
from simlib.laws.law import PUBLISHED, JointLaw


@pytest.fixture
def law_file():
    rng = np.random.default_rng(0)
    members = JointLaw.from_vector(np.stack([random_law(rng).vector() for _ in range(30)]))
    return FittedLaw("try", random_law(rng), members, status="converged", runs=100)


def test_round_trip(tmp_path, law_file):
    law_file.save(tmp_path / "try.json")
    back = read_law(tmp_path / "try.json")
    assert back.law == law_file.law
    assert back.record() == law_file.record()
    np.testing.assert_allclose(back.ensemble.vector(), law_file.ensemble.vector(), rtol=1e-7)


def test_intervals_hold_their_share_of_the_members(law_file):
    S = np.array([0.0, 0.5, 0.9])
    low, high = law_file.interval(lambda law: law(S, 1e7, 1e9), dims=1, level=0.8)
    values = law_file.ensemble.expand(1)(S, 1e7, 1e9)
    inside = ((values >= low) & (values <= high)).mean(axis=0)
    assert low.shape == (3,)
    np.testing.assert_allclose(inside, 0.8, atol=0.05)


def test_a_law_without_ensemble_gives_no_interval():
    with pytest.raises(InputError, match="'t5-c4' has no ensemble"):
        load_law("t5-c4").interval(lambda law: law.multiplier(0.5))


@pytest.mark.parametrize("content", ["{", "[]", '{"form": "cubic"}', '{"form": "joint"}'])
def test_files_that_are_no_law_are_named(tmp_path, content):
    path = tmp_path / "bad.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"bad\.json: this is not a law file"):
        read_law(path)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"range": {"sparsity": [0, 1]}}, "nonzero_params"),
        ({"range": "big"}, "not a law file"),
        ({"range": {n: [2, 1] for n in ("sparsity", "nonzero_params", "data_seen")}}, "smaller"),
        ({"log_rmse": "big"}, "big"),
        ({"made": "me"}, "'made' is not a dict"),
        ({"warnings": None}, "'warnings' is not a list"),
    ],
)
def test_what_editing_by_hand_has_broken_is_named_when_the_file_is_read(tmp_path, broken, said):
    path = tmp_path / "edited.json"
    load_law("t5-c4-refit").save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | broken))
    with pytest.raises(InputError, match=said):
        read_law(path)


def test_shipped_laws_are_complete_and_unknown_ones_list_them():
    assert {"vit-jft", "t5-c4", "vit-jft-refit", "t5-c4-refit"} <= set(law_names())
    for name in ("vit-jft", "t5-c4"):
        assert load_law(name).law == PUBLISHED[name]
        assert len(load_law(f"{name}-refit").ensemble.vector()) == 1000
    with pytest.raises(InputError, match="t5-c4-refit"):
        load_law("gpt-5")


@pytest.mark.parametrize("name", law_names())
def test_every_shipped_law_says_how_it_was_made(name):
    law_file = load_law(name)
    assert law_file.made["command"].startswith("simlib fit")
    assert len(law_file.table_sha256) == 64
    assert law_file.fitted_range.nonzero_params[0] > 0


@pytest.mark.parametrize("name", law_names())
def test_a_shipped_law_is_saved_as_it_stands_to_the_byte(tmp_path, name):
    load_law(name).save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (FOLDER / f"{name}.json").read_bytes()


def test_members_beyond_any_float_are_infinite_ends_and_no_warning(recwarn):
    law = PUBLISHED["vit-jft"]
    members = np.tile(law.vector(), (100, 1))
    members[:20, JointLaw.names().index("b_N")] = 1e-4
    steep = FittedLaw("steep", law, JointLaw.from_vector(members))
    low, high = steep.interval(lambda law: law.multiplier(0.75))
    assert 1 < low < 10
    assert high == float("inf")
    assert not recwarn.list


SOUND = {"status": "converged", "converged_members": 29}


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (SOUND, ""),
        (SOUND | {"converged_members": 27}, ""),
        (SOUND | {"converged_members": 26}, "only 26 of its 30 refits"),
        (SOUND | {"status": "at bound"}, "ends at a bound"),
        (SOUND | {"status": "not converged"}, "'not converged'"),
        ({"status": "converged"}, "fit it again"),
    ],
)
def test_nothing_rests_on_a_fit_at_a_bound_or_on_refits_that_did_not_converge(
    law_file, known, said
):
    found = FittedLaw(law_file.name, law_file.law, law_file.ensemble, **known)
    assert found.decides == (said == "")
    assert said in found.why_not


def test_a_law_without_ensemble_decides_nothing():
    assert "no ensemble" in load_law("t5-c4").why_not


def test_profile_intervals_of_coefficients_and_quantities_are_found_by_name(law_file):
    found = replace(
        law_file,
        profile_intervals={"b_S": (0.1, None)},
        quantities={"share": Derived(0.5, None, (0.4, 0.6))},
    )
    assert found.profile_interval("b_S") == (0.1, None)
    assert found.profile_interval("share") == (0.4, 0.6)
    assert found.profile_interval("c") is None


@pytest.mark.parametrize("name", law_names())
def test_shipped_ensembles_say_how_many_of_their_refits_converged(name):
    shipped = load_law(name)
    if shipped.ensemble is not None:
        content = json.loads((FOLDER / f"{name}.json").read_text())
        assert content["members"] == shipped.refits
        assert shipped.converged_members >= 0.9 * shipped.refits
        assert shipped.decides == (shipped.status == "converged")


def test_a_law_is_taken_for_no_table_but_its_own():
    runs, law = load_fitted("gpt-plateau", "gpt-plateau")
    assert law.runs <= len(runs.finished)
    with pytest.raises(InputError, match="gpt-laptop was not fitted to the table gpt-plateau"):
        load_fitted("gpt-plateau", "gpt-laptop")
