"""Genomes: what loads, and what is said about what does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from o_agent.behaviour import Case, parse_cases, problems
from o_agent.genome import BOUNDS, GenomeError, load_genome
from o_agent.prompt_template import PromptTemplate, TemplateError

pytestmark = pytest.mark.unit

SEED = Path(__file__).parents[3] / "agent_images" / "genomes" / "default"


def write(root: Path, **files: str) -> Path:
    for name, text in ({"genome.toml": ""} | files).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_the_seed_genome_loads_and_names_every_parameter() -> None:
    genome = load_genome(SEED)
    assert set(genome.params) == set(BOUNDS)
    assert set(genome.tools) == {"count_words"}
    assert genome.count("history_messages") == 60
    assert genome.hooks.after_tool is not None


def test_an_almost_empty_genome_has_defaults(tmp_path: Path) -> None:
    genome = load_genome(write(tmp_path))
    assert {name: genome.number(name) for name in BOUNDS} == {
        name: bound.default for name, bound in BOUNDS.items()
    }
    assert genome.template.render("S", "M").complete("X") == "S\n\nM\n\nX"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"genome.toml": "[params"}, "genome.toml:"),
        ({"genome.toml": "[params.x]\nmin = 1"}, "missing required field `value`"),
        (
            {"genome.toml": "[params.x]\nvalue = 5\nmin = 6\nmax = 9"},
            "params.x: 5 is outside 6 … 9",
        ),
        ({"genome.toml": "[params.max_steps]\nvalue = 999\nmax = 1000"}, "999 is outside 1 … 200"),
        ({"genome.toml": '[params.max_steps]\nvalue = "many"'}, "must be a number"),
        ({"genome.toml": '[params.tone]\nvalue = "x"\nchoices = ["y"]'}, "'x' is not one of"),
        ({"blocks/policy.toml": "colour = 1"}, "blocks/policy.toml: Object contains unknown field"),
        ({"prompts/system.md": "{{ system }}"}, "placeholder '{{ memory }}' is missing"),
        ({"prompts/system.md": "{{ system }}{{ memory }}{{ x }}"}, "unknown placeholder 'x'"),
        ({"loop/hooks.py": "after_reply = 3"}, "after_reply must be a plain function"),
        ({"loop/hooks.py": "def before_step(step):\n    return step"}, "of two arguments"),
        ({"tools/a.py": "raise SystemExit(4)"}, "tools/a.py: fails at import: SystemExit: 4"),
        ({"tools/a.py": "import no_such_module"}, "ModuleNotFoundError"),
    ],
)
def test_a_defect_names_its_file_and_reason(
    tmp_path: Path, files: dict[str, str], message: str
) -> None:
    with pytest.raises(GenomeError) as caught:
        load_genome(write(tmp_path, **files))
    assert message in str(caught.value)
    assert caught.value.file in files


def test_two_tools_of_one_name_are_refused(tmp_path: Path) -> None:
    code = (
        'from o_agent.sdk import tool\n@tool\ndef twice() -> str:\n    """Do."""\n    return ""\n'
    )
    with pytest.raises(GenomeError, match="a second tool is named 'twice'"):
        load_genome(write(tmp_path, **{"tools/a.py": code, "tools/b.py": code}))


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(GenomeError, match="O_GENOME must name the genome"):
        load_genome(tmp_path / "nowhere")


def test_templates_keep_their_order() -> None:
    template = PromptTemplate.parse("a {{ memory }} b {{metadata}} c {{ system }} d")
    assert template.render("S", "M").complete("X") == "a M b X c S d"
    without = PromptTemplate.parse("{{ system }} {{ memory }}").render("S", "M")
    assert without.complete("X") == "S M"
    with pytest.raises(TemplateError, match="more than once"):
        PromptTemplate.parse("{{ system }}{{ memory }}{{ system }}")


def test_behaviour_cases_are_judged() -> None:
    (case,) = parse_cases(
        b'[[case]]\nname = "n"\ninputs = ["x"]\nreply_contains = ["yes"]\nreply_lacks = ["no"]\n'
        b'stop_reason = "end_turn"\ntools_called = ["look"]\nmost_steps = 1\n'
    )
    good = {
        "messages": [
            {"message_type": "tool_call_message", "tool_calls": [{"name": "look"}]},
            {"message_type": "assistant_message", "content": "yes"},
        ],
        "stop_reason": {"stop_reason": "end_turn"},
        "usage": {"step_count": 1},
    }
    assert problems(case, good) == []
    bad = {
        "messages": [{"message_type": "assistant_message", "content": "no"}],
        "stop_reason": {"stop_reason": "max_steps"},
        "usage": {"step_count": 2},
    }
    assert problems(case, bad) == [
        "the reply lacks 'yes'",
        "the reply contains 'no'",
        "look was not called",
        "it stopped with 'max_steps', not 'end_turn'",
        "it took 2 steps, more than 1",
    ]
    assert problems(Case("n", ["x"], reply_contains=["a"]), {}) == ["the reply lacks 'a'"]
    with pytest.raises(GenomeError, match="has no inputs"):
        parse_cases(b'[[case]]\nname = "n"\ninputs = []\n')
