"""The configuration of Wasmtime, the same wherever code is compiled and wherever it runs.

Memory comes from a pool and is copied on write from the module's image, so that an instance of
CPython starts in under a millisecond. The Python bindings have no property for the pool; the C
functions are called instead. Code is made for a baseline processor: what one machine compiled runs
on every machine of that architecture, and no speed was lost by it.
"""

from __future__ import annotations

from typing import Final

import wasmtime
from wasmtime import _bindings as c

from o_sandbox.engine import target

_CORE_INSTANCES: Final = 200
_TABLES: Final = 40
_MEMORIES: Final = 8
_TABLE_ELEMENTS: Final = 60_000
FOREIGN_STACK: Final = 8 * 1024 * 1024
"""QuickJS bounds its own stack, which it reaches only if this is larger."""
_INSTANCE_BYTES: Final = 16 * 1024 * 1024


def engine(
    instances: int, memory_bytes: int, resident_bytes: int = 0, *, foreign: bool = False
) -> wasmtime.Engine:
    """An engine with room for this many instances at once.

    Args:
        instances: how many live at a time.
        memory_bytes: the most memory one may have.
        resident_bytes: how much of a dropped instance's memory is cleaned by copying instead of
            being given back.
        foreign: it compiles what calls bring along, in its jail.
    """
    config = wasmtime.Config()
    config.epoch_interruption = True
    config.target = target.target()
    config.wasm_memory64 = False
    config.wasm_threads = False
    if foreign:
        config.parallel_compilation = False
        config.memory_init_cow = False  # an image of it in memory would need `memfd_create`
        config.cranelift_nan_canonicalization = True  # so that a replay computes the same
        config.wasm_relaxed_simd_deterministic = True
        c.wasmtime_config_async_stack_size_set(config.ptr(), 2 * FOREIGN_STACK)
        config.max_wasm_stack = FOREIGN_STACK
    pool = c.wasmtime_pooling_allocation_config_new()
    for name, value in _pool_sizes(instances, memory_bytes, resident_bytes).items():
        getattr(c, f"wasmtime_pooling_allocation_config_{name}_set")(pool, value)
    c.wasmtime_pooling_allocation_strategy_set(config.ptr(), pool)
    c.wasmtime_pooling_allocation_config_delete(pool)
    return wasmtime.Engine(config)


def _pool_sizes(instances: int, memory_bytes: int, resident_bytes: int) -> dict[str, int]:
    return {
        "total_component_instances": instances,
        "total_core_instances": instances * _CORE_INSTANCES,
        "total_memories": instances * 2,
        "total_tables": instances * _TABLES,
        "table_elements": _TABLE_ELEMENTS,
        "max_memory_size": memory_bytes,
        "max_core_instance_size": _INSTANCE_BYTES,
        "max_component_instance_size": _INSTANCE_BYTES,
        "max_core_instances_per_component": _CORE_INSTANCES,
        "max_memories_per_component": _MEMORIES,
        "max_tables_per_component": _TABLES,
        "linear_memory_keep_resident": resident_bytes,
    }
