import pytest

from o_platform.errors import BadInputError
from o_platform.rollout.policy import DEFAULT, DEMO, PRESETS, find_policy, parse_policy

pytestmark = pytest.mark.unit


def test_presets_survive_json_and_say_what_they_are() -> None:
    for name, policy in PRESETS.items():
        assert parse_policy(policy.model_dump(mode="json")) == policy
        assert policy.name == name
    assert "small samples" in DEMO.description


def test_default_asks_a_person_about_code() -> None:
    assert [DEFAULT.needs_person(r) for r in ("params", "tools")] == [False, True]


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(BadInputError, match="default, demo"):
        find_policy("fast")


@pytest.mark.parametrize(
    ("gate", "field", "value"),
    [
        ("canary", "steps", [500, 250]),
        ("canary", "min_requests", 0),
        ("canary", "steps", []),
        ("load", "rounds", 1),
        ("load", "nonsense", 1),
        ("watch", "provable_error_rate", 0.001),
    ],
)
def test_bad_fields_are_named(gate: str, field: str, value: object) -> None:
    data = DEMO.model_dump(mode="json")
    data[gate][field] = value
    with pytest.raises(BadInputError, match=gate):
        parse_policy(data)
