"""The supervisor's policy, against a small world that obeys its effects."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o_platform.supervisor.machine import decide, next_deadline
from o_platform.supervisor.spec import ChildKind, ChildSpec, Probe, ProbeKind, Strategy
from o_platform.supervisor.spec import SupervisorSpec as Spec
from o_platform.supervisor.state import (
    Activated,
    Arm,
    BecameReady,
    Died,
    Disarm,
    Drain,
    Drained,
    Finish,
    Mode,
    Observation,
    Phase,
    Record,
    RestartAsked,
    Signal,
    Spawn,
    Spawned,
    SpawnFailed,
    State,
    StopAsked,
    Tick,
    initial_state,
)

pytestmark = pytest.mark.unit

PROBE = Probe(ProbeKind.FILE, "/ready")


def child(name: str, **changes: object) -> ChildSpec:
    return replace(ChildSpec(name, ("/bin/true",), probe=PROBE), **changes)  # type: ignore[arg-type]


def make_spec(*children: ChildSpec, **changes: object) -> Spec:
    default = (
        child("db"),
        child("migrate", kind=ChildKind.ONESHOT, probe=None),
        child("web", stop_command=("/bin/drain",)),
        child("llm", kind=ChildKind.ON_DEMAND, probe=None, listen="/llm.sock"),
        child("app"),
    )
    return replace(Spec(children or default, "/run", "/log"), **changes)  # type: ignore[arg-type]


@dataclass
class World:
    """Carries effects out as the kernel would, and checks what must never happen."""

    spec: Spec
    now: float = 0.0
    state: State = field(init=False)
    alive: dict[str, int] = field(default_factory=dict)
    armed: set[str] = field(default_factory=set)
    draining: set[str] = field(default_factory=set)
    killed: set[int] = field(default_factory=set)
    spawned: list[str] = field(default_factory=list)
    withheld: set[str] = field(default_factory=set)
    """Children that their zygote does not fork."""
    stopped: list[str] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    finished: int | None = None
    pids: int = 100

    def __post_init__(self) -> None:
        self.state = initial_state(self.spec)

    def see(self, observation: Observation) -> None:
        pending = [observation]
        while pending:
            decision = decide(self.state, pending.pop(0), self.now)
            self.state = decision.state
            for effect in decision.effects:
                pending += self._carry_out(effect)

    def _carry_out(self, effect: object) -> list[Observation]:
        assert self.finished is None
        match effect:
            case Spawn(name):
                assert self.state.mode is not Mode.STOPPING
                assert name not in self.alive
                self.spawned.append(name)
                if name in self.withheld:
                    return []
                self.pids += 1
                self.alive[name] = self.pids
                return [Spawned(name, self.pids)]
            case Signal(name, pid, number):
                assert self.alive[name] == pid
                if number is signal.SIGKILL:
                    self.killed.add(pid)
                else:
                    self.stopped.append(name)
            case Drain(name):
                self.draining.add(name)
            case Arm(name):
                assert name not in self.armed
                self.armed.add(name)
            case Disarm(name):
                self.armed.remove(name)
            case Record():
                self.records.append(effect)
            case Finish(code):
                assert not self.alive
                assert not self.armed
                self.finished = code
        return []

    def die(self, name: str, code: int = -9) -> None:
        pid = self.alive.pop(name)
        self.see(Died(name, pid, code, "last words"))

    def ready(self, name: str) -> None:
        self.see(BecameReady(name, self.alive[name]))

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.see(Tick())

    def phase(self, name: str) -> Phase:
        return self.state.child(name).phase


def running(spec: Spec) -> World:
    world = World(spec)
    world.see(Tick())
    for child_spec in spec.children:
        name = child_spec.name
        match child_spec.kind:
            case ChildKind.DAEMON if child_spec.probe is not None:
                world.ready(name)
            case ChildKind.ONESHOT:
                world.die(name, 0)
    assert world.state.mode is Mode.RUNNING
    return world


def test_children_start_in_order_each_when_the_one_before_is_ready() -> None:
    world = World(make_spec())
    world.see(Tick())
    assert world.spawned == ["db"]
    world.ready("db")
    assert world.spawned == ["db", "migrate"]
    world.die("migrate", 0)
    assert world.spawned == ["db", "migrate", "web"]
    world.ready("web")
    assert world.armed == {"llm"}
    assert world.state.mode is Mode.STARTING
    world.ready("app")
    assert world.state.mode is Mode.RUNNING


def test_a_child_that_does_not_gate_is_not_waited_for() -> None:
    world = World(make_spec(child("a", gates=False), child("b"), child("c", gates=False)))
    world.see(Tick())
    assert world.spawned == ["a", "b"]
    world.ready("b")
    assert world.spawned == ["a", "b", "c"]
    world.ready("c")
    assert world.state.mode is Mode.STARTING
    world.ready("a")
    assert world.state.mode is Mode.RUNNING


def test_first_death_respawns_at_once_the_next_ones_after_a_growing_delay() -> None:
    world = running(make_spec())
    for delay in (0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.0, 3.0):
        world.die("app")
        if delay:
            assert "app" not in world.alive
            assert next_deadline(world.state) == pytest.approx(world.now + delay)
            world.wait(delay)
        assert "app" in world.alive
        world.ready("app")
    world.wait(world.spec.stable_s)
    world.die("app")
    assert "app" in world.alive


@pytest.fixture
def unborn() -> World:
    """`app` has died, and its zygote does not fork it."""
    zygote = child("zygote", probe=None, listen="/zygote.sock")
    world = running(make_spec(zygote, child("app", zygote="zygote")))
    world.withheld.add("app")
    world.die("app")
    assert world.phase("app") is Phase.STARTING
    return world


def test_a_child_that_its_zygote_does_not_fork_in_time_is_asked_for_again(unborn: World) -> None:
    unborn.wait(unborn.spec.child("app").ready_timeout_s)
    assert unborn.phase("app") is Phase.BACKOFF
    assert unborn.state.child("app").last_exit == "was not ready after 30 s"
    unborn.withheld.clear()
    unborn.wait(unborn.spec.backoff_min_s)
    unborn.ready("app")
    assert unborn.phase("app") is Phase.READY


def test_a_stop_does_not_wait_for_a_child_that_was_not_forked_yet(unborn: World) -> None:
    unborn.see(StopAsked("enough"))
    assert unborn.phase("app") is Phase.STOPPED
    assert unborn.stopped == ["zygote"]
    unborn.die("zygote", -15)
    assert unborn.finished == 0


def test_a_restart_of_a_child_that_was_not_forked_yet_asks_anew(unborn: World) -> None:
    unborn.withheld.clear()
    unborn.see(RestartAsked("app"))
    assert unborn.spawned == ["zygote", "app", "app", "app"]
    unborn.ready("app")
    assert unborn.phase("app") is Phase.READY


def test_one_for_one_leaves_the_others_alone() -> None:
    world = running(make_spec())
    world.die("db")
    assert world.spawned[-1] == "db"
    assert not world.stopped


def test_rest_for_one_stops_later_children_in_reverse_and_starts_them_in_order() -> None:
    world = running(make_spec(child("a"), child("b"), child("c"), strategy=Strategy.REST_FOR_ONE))
    world.spawned.clear()
    world.die("a")
    assert world.stopped == ["c"]
    assert not world.spawned
    world.die("c", -15)
    assert world.stopped == ["c", "b"]
    world.die("b", -15)
    assert world.spawned == ["a"]
    world.ready("a")
    world.ready("b")
    world.ready("c")
    assert world.spawned == ["a", "b", "c"]


def test_too_many_deaths_stop_everything_with_the_reason() -> None:
    world = running(make_spec(child("a"), child("b"), max_restarts=3, period_s=10))
    for _ in range(3):
        world.die("b")
        world.wait(1)
        world.ready("b")
    world.die("b")
    assert world.stopped == ["a"]
    world.die("a", -15)
    assert world.finished == 1
    assert world.state.reason == (
        "4 deaths within 10 s; the last: `b` was killed by SIGKILL: last words"
    )


def test_deaths_that_are_spread_out_do_not_escalate() -> None:
    world = running(make_spec(child("a"), max_restarts=3, period_s=10))
    for _ in range(50):
        world.die("a")
        world.ready("a")
        world.wait(6)
    assert world.state.mode is Mode.RUNNING


def test_a_child_that_never_comes_up_at_boot_stops_everything_soon() -> None:
    world = World(make_spec(child("a"), child("b")))
    world.see(Tick())
    world.ready("a")
    for _ in range(3):
        world.die("b", 2)
        world.wait(5)
    world.die("a", 0)
    assert world.finished == 1
    assert "`b` did not come up in 3 tries; it exited 2: last words" in world.state.reason


def test_a_failed_oneshot_stops_everything() -> None:
    world = World(make_spec())
    world.see(Tick())
    world.ready("db")
    world.die("migrate", 3)
    world.die("db", 0)
    assert world.finished == 1
    assert world.state.reason == "`migrate` exited 3: last words"


def test_a_child_that_is_not_ready_in_time_is_killed_and_counts_as_dead() -> None:
    world = World(make_spec(child("a", ready_timeout_s=7)))
    world.see(Tick())
    assert next_deadline(world.state) == pytest.approx(7)
    world.wait(7)
    assert world.killed == {world.alive["a"]}
    world.die("a")
    assert world.state.child("a").last_exit == "was not ready after 7 s"
    assert "a" in world.alive


def test_stop_goes_in_the_given_order_then_in_reverse_and_kills_after_the_grace() -> None:
    world = running(make_spec(stop_order=("web",)))
    world.see(StopAsked("asked"))
    assert world.draining == {"web"}
    assert not world.stopped
    world.see(Drained("web"))
    assert world.stopped == ["web"]
    world.wait(10)
    assert world.killed == {world.alive["web"]}
    world.die("web")
    world.die("app", 0)
    assert world.stopped == ["web", "app", "db"]
    world.die("db", 0)
    assert world.finished == 0


def test_an_on_demand_child_starts_on_a_connection_and_is_armed_again() -> None:
    world = running(make_spec())
    world.see(Activated("llm"))
    assert "llm" in world.alive
    assert not world.armed
    world.die("llm", 0)
    assert world.armed == {"llm"}
    world.see(Activated("llm"))
    world.die("llm", 1)
    assert world.armed == {"llm"}
    world.see(Activated("llm"))
    world.die("llm", 1)
    assert not world.armed
    world.wait(0.1)
    assert world.armed == {"llm"}


def test_an_on_demand_child_never_escalates() -> None:
    world = running(make_spec(max_restarts=2))
    for _ in range(20):
        world.wait(5)
        world.see(Activated("llm"))
        world.die("llm", 1)
    assert world.state.mode is Mode.RUNNING


def test_restart_stops_and_starts_one_child_without_its_stop_command() -> None:
    world = running(make_spec())
    world.see(RestartAsked("web"))
    assert world.stopped == ["web"]
    assert not world.draining
    world.die("web", -15)
    assert world.spawned[-1] == "web"
    assert world.state.child("web").restarts == 0


def test_a_spawn_that_fails_is_a_death() -> None:
    state = initial_state(make_spec(child("a")))
    state = decide(state, Tick(), 0.0).state
    decision = decide(state, SpawnFailed("a", "no such file"), 0.0)
    assert Spawn("a") in decision.effects
    assert decision.state.child("a").last_exit == "could not be started: no such file"


NAMES = ["db", "migrate", "web", "llm", "app"]
ACTIONS = st.one_of(
    st.tuples(st.just("die"), st.sampled_from(NAMES), st.sampled_from([0, 1, -9])),
    st.tuples(st.just("ready"), st.sampled_from(NAMES)),
    st.tuples(st.just("wait"), st.floats(0, 20)),
    st.tuples(st.just("restart"), st.sampled_from(NAMES)),
    st.tuples(st.just("activate"), st.sampled_from(NAMES)),
    st.tuples(st.just("drained"), st.sampled_from(NAMES)),
    st.tuples(st.just("stale"), st.sampled_from(NAMES)),
    st.tuples(st.just("stop")),
)


def act(world: World, action: tuple[object, ...]) -> None:
    match action:
        case ("die", str(name), int(code)) if name in world.alive:
            world.die(name, code)
        case ("ready", str(name)) if name in world.alive:
            world.ready(name)
        case ("wait", float(seconds)):
            world.wait(seconds)
        case ("restart", str(name)):
            world.see(RestartAsked(name))
        case ("activate", str(name)):
            world.see(Activated(name))
        case ("drained", str(name)):
            world.see(Drained(name))
        case ("stale", str(name)):
            world.see(Died(name, 1, -9))
        case ("stop",):
            world.see(StopAsked("asked"))


@given(st.lists(ACTIONS, max_size=60), st.sampled_from(Strategy), st.integers(1, 8))
@settings(max_examples=300, deadline=None)
def test_whatever_happens_it_can_be_stopped_and_nothing_runs_twice(
    actions: list[tuple[object, ...]], strategy: Strategy, max_restarts: int
) -> None:
    spec = make_spec(strategy=strategy, max_restarts=max_restarts, stop_order=("web",))
    world = World(spec)
    world.see(Tick())
    for action in actions:
        if world.finished is None:
            act(world, action)
    if world.finished is None:
        world.see(StopAsked("the end"))
    for _ in range(4 * len(NAMES)):
        for name in [n for n, pid in world.alive.items() if pid in world.killed]:
            world.die(name)
        if world.finished is None:
            world.wait(30)
    assert world.finished is not None
    assert next_deadline(world.state) is None


@given(st.lists(ACTIONS, max_size=40), st.sampled_from(Strategy))
@settings(max_examples=200, deadline=None)
def test_left_in_peace_it_comes_up_again(
    actions: list[tuple[object, ...]], strategy: Strategy
) -> None:
    spec = make_spec(strategy=strategy, max_restarts=1000, boot_tries=1000)
    world = World(spec)
    world.see(Tick())
    for action in actions:
        if action != ("stop",) and action[:2] != ("die", "migrate"):
            act(world, action)
    for _ in range(20 * len(NAMES)):
        world.wait(1)
        for name in list(world.alive):
            if name == "migrate":
                world.die(name, 0)
            elif world.alive[name] in world.killed or name in world.state.queue:
                world.die(name)
            else:
                world.ready(name)
    phases = {name: world.phase(name) for name in ("db", "migrate", "web", "app")}
    assert world.state.mode is Mode.RUNNING
    assert phases == {
        "db": Phase.READY, "migrate": Phase.DONE, "web": Phase.READY, "app": Phase.READY,
    }  # fmt: skip


@given(st.lists(ACTIONS, max_size=40))
@settings(max_examples=100, deadline=None)
def test_a_deadline_that_passed_is_acted_upon_so_the_loop_never_spins(
    actions: list[tuple[object, ...]],
) -> None:
    world = World(make_spec())
    world.see(Tick())
    for action in actions:
        if world.finished is None:
            act(world, action)
        deadline = next_deadline(world.state)
        if world.finished is None and deadline is not None:
            world.now = max(world.now, deadline)
            world.see(Tick())
            following = next_deadline(world.state)
            assert following is None or following > world.now
